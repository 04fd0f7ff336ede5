"""The rules for runs that Prefect's own processes execute: its engine, `flow.serve`, a worker.

They have no lease, and no attempt of ours: whoever asks is believed, as a Prefect server believes it. What
such a process relies on differs in places from what our agents do: it asks the server for its retries, it may
open again what has ended, and it is known to run by the process id that its worker has left.
"""

from collections.abc import Mapping
from datetime import timedelta

from flows.sdk.recorder import Status
from flows.sdk.states import TERMINAL, AwaitingRetry, Cancelled, State, StateType
from runs.rules import (
    AlreadyStored,
    CancellingIsSticky,
    CrashIsRetried,
    Current,
    Decision,
    LateOnlyWhileScheduled,
    NotBeforeItsTime,
    PauseEndsOnce,
    PauseWhileRunning,
    PendingIsALock,
    Policy,
    Proposal,
    ResumeAsItWasPaused,
    StaleAttempt,
    SubflowIsNotCancelledAlone,
    SuspendWhatCanBeResumed,
)


class MadeBefore:
    """A client whose answer got lost proposes the same once more: a retry would be counted twice."""

    def judge(self, run: Current, proposal: Proposal) -> Decision | None:
        asked = proposal.state.details.get("transition_id")
        if asked and run.by_prefect and run.by_prefect.details.get("transition_id") == asked:
            return Decision(Status.REJECT, "the run has already made this transition")
        return None


class EndedRunsReopen:
    """A late report changes an outcome that others have acted on, or a kept result is lost.

    Prefect's engine runs a flow again under the same id, when its parent is tried again or a person wants it:
    unlike ours, what has ended may run again, unless its result is there.
    """

    NEVER_AFTER = frozenset({StateType.CANCELLING, StateType.CRASHED, StateType.PAUSED})

    def judge(self, run: Current, proposal: Proposal) -> Decision | None:
        if run.state_type not in TERMINAL:
            return None
        if proposal.type in self.NEVER_AFTER:
            return Decision(Status.ABORT, f"the run has already ended as {run.state_name}")
        if proposal.type is StateType.SCHEDULED and not run.has_deployment:
            return Decision(Status.ABORT, "without a deployment, nobody would take the run up again")
        if proposal.type is StateType.PENDING and run.state_type is StateType.CANCELLED:
            return Decision(Status.ABORT, "a cancelled run is scheduled first")
        return self._keep_result(run, proposal.state)

    def _keep_result(self, run: Current, state: State) -> Decision | None:
        if run.state_type is not StateType.COMPLETED or run.by_prefect is None:
            return None
        if not has_result(run.by_prefect.details) or (state.is_completed() and has_result(state.details)):
            return None
        if state.is_completed() or not state.is_terminal():
            return Decision(Status.REJECT, "the run has completed, and its result is kept")
        return None


class NothingOfPrefectToKill:
    """No process runs, so nobody would ever confirm the cancellation: the run ends at once.

    A worker leaves the id of the process that it started; with one, a retry may be waiting in there.
    """

    def judge(self, run: Current, proposal: Proposal) -> Decision | None:
        if proposal.type is not StateType.CANCELLING or run.by_prefect is None:
            return None
        waits = run.state_type is StateType.SCHEDULED and (
            not run.by_prefect.infrastructure_pid or run.state_name == "Resuming"
        )
        suspended = run.state_type is StateType.PAUSED and run.by_prefect.details.get("pause_reschedule")
        if not waits and not suspended:
            return None
        cancelled = Cancelled(message=proposal.state.message or "Cancelled before it started.")
        return Decision(Status.REJECT, "no process to stop", store=cancelled)


class FailureIsRetried:
    """Prefect's engine leaves it to the server whether a failed flow runs again: it would give up too early.

    Its process stays, and asks to go on until the time has come.
    """

    def judge(self, run: Current, proposal: Proposal) -> Decision | None:
        if run.state_type is not StateType.RUNNING or proposal.type is not StateType.FAILED:
            return None
        if run.by_prefect is None or run.by_prefect.run_count > run.by_prefect.retries:
            return None
        awaiting = AwaitingRetry(
            run.now + timedelta(seconds=run.by_prefect.retry_delay_seconds),
            message=proposal.state.message,
            timestamp=max(run.now, proposal.state.timestamp),
        )
        details = {**awaiting.details, "retry_in_process": True}
        if "data" in proposal.state.details:
            details["data"] = proposal.state.details["data"]
        store = State(
            awaiting.type, awaiting.name, awaiting.message, awaiting.timestamp, awaiting.id, details
        )
        number = f"{run.by_prefect.run_count}/{run.by_prefect.retries}"
        return Decision(Status.REJECT, f"retry {number}", store=store)


def has_result(details: Mapping[str, object]) -> bool:
    """Whether the state of these details says where a result is kept."""
    data = details.get("data")
    return isinstance(data, Mapping) and data.get("type") != "unpersisted"


PREFECT = Policy(
    rules=(
        AlreadyStored(),
        StaleAttempt(),
        MadeBefore(),
        EndedRunsReopen(),
        CancellingIsSticky(),
        SubflowIsNotCancelledAlone(),
        NothingOfPrefectToKill(),
        CrashIsRetried(),
        PendingIsALock(),
        NotBeforeItsTime(),
        LateOnlyWhileScheduled(),
        PauseWhileRunning(),
        SuspendWhatCanBeResumed(),
        ResumeAsItWasPaused(),
        PauseEndsOnce(),
        FailureIsRetried(),
    )
)
