"""The rules of orchestration: what may follow what.

A rule looks at the locked run and at the proposed state, and either has no opinion (None) or
decides. The first that decides wins; if none does, the proposal is accepted. Each docstring
names the race or the harm that the rule prevents.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from flows.sdk.recorder import Status
from flows.sdk.states import TERMINAL, AwaitingRetry, Cancelled, Failed, State, StateType


@dataclass(frozen=True, slots=True)
class ByPrefect:
    """What is known of a run that Prefect's own processes execute.

    `details` are those of its present state, `data` among them: what the client left with it.
    """

    details: Mapping[str, Any] = field(default_factory=dict)
    run_count: int = 0
    retries: float = 0
    retry_delay_seconds: float = 0
    infrastructure_pid: str = ""


@dataclass(frozen=True, slots=True)
class Current:
    """A flow run as its locked row says. `now` is the database clock.

    `attempt` and `leased` are those of the root run for a subflow, whose writes its root fences.
    `by_prefect` is None for runs of our own agents and processes.
    """

    id: UUID
    workspace_id: UUID
    state_id: UUID | None
    state_type: StateType
    state_name: str
    state_message: str
    state_timestamp: datetime
    attempt: int
    leased: bool
    is_subflow: bool
    has_deployment: bool
    work_queue_id: UUID | None
    expected_start_time: datetime
    crash_count: int
    crash_retries: int
    crash_retry_delay_seconds: float
    now: datetime
    pause_keys: Sequence[str] = ()
    pause_expires: datetime | None = None
    resuming: bool = False
    backfill_id: UUID | None = None
    parent_task_run_id: UUID | None = None
    by_prefect: ByPrefect | None = None

    def state(self) -> State:
        """The state that holds now."""
        return State(
            self.state_type,
            name=self.state_name,
            message=self.state_message,
            timestamp=self.state_timestamp,
            id=self.state_id or self.id,
        )


@dataclass(frozen=True, slots=True)
class Proposal:
    """A state that somebody wants the run to enter.

    `attempt` is given by the process that executes the run; None means somebody from outside.
    """

    state: State
    attempt: int | None = None

    @property
    def type(self) -> StateType:
        return self.state.type


@dataclass(frozen=True, slots=True)
class Decision:
    """What a rule decided. `store` replaces the proposed state; None stores nothing.

    `then` is a second state, which the run enters at once after the first.
    """

    status: Status
    reason: str
    store: State | None = None
    delay_seconds: float = 0.0
    then: State | None = None


class Rule(Protocol):
    """One rule."""

    def judge(self, run: Current, proposal: Proposal) -> Decision | None: ...


class AlreadyStored:
    """A client repeats a proposal whose answer got lost: say yes again, store nothing twice."""

    def judge(self, run: Current, proposal: Proposal) -> Decision | None:
        if run.state_id == proposal.state.id:
            return Decision(Status.ACCEPT, "already in this state")
        return None


class StaleAttempt:
    """A process that was given up (stopped, cut off) wakes and writes over its successor's run."""

    def judge(self, run: Current, proposal: Proposal) -> Decision | None:
        if proposal.attempt is None or (proposal.attempt == run.attempt and run.leased):
            return None
        return Decision(
            Status.ABORT,
            f"attempt {proposal.attempt} no longer owns the run (attempt {run.attempt} "
            f"{'is running' if run.leased else 'has ended'})",
        )


class TerminalIsFinal:
    """A late report changes the outcome that people and other runs have already acted on.

    Only rescheduling reopens a run, and only one with a deployment: without it, no agent
    would know what to execute.
    """

    def judge(self, run: Current, proposal: Proposal) -> Decision | None:
        if run.state_type not in TERMINAL:
            return None
        if proposal.type is StateType.SCHEDULED and run.has_deployment and not run.is_subflow:
            return None
        return Decision(Status.ABORT, f"the run has already ended as {run.state_name}")


class CancellingIsSticky:
    """A killed process still proposes its own ending, and a cancelled run would read Completed."""

    def judge(self, run: Current, proposal: Proposal) -> Decision | None:
        if run.state_type is not StateType.CANCELLING or proposal.type is StateType.CANCELLED:
            return None
        return Decision(Status.REJECT, "the run is being cancelled")


class SubflowIsNotCancelledAlone:
    """A subflow has no process of its own: its state would say Cancelling for ever."""

    def judge(self, run: Current, proposal: Proposal) -> Decision | None:
        if proposal.type is StateType.CANCELLING and run.is_subflow:
            return Decision(Status.ABORT, "a subflow runs in its root run's process: cancel the root run")
        return None


class NothingToKill:
    """No process runs, so nobody would ever confirm the cancellation: the run ends at once."""

    WITHOUT_PROCESS = frozenset({StateType.SCHEDULED, StateType.PAUSED})

    def judge(self, run: Current, proposal: Proposal) -> Decision | None:
        if proposal.type is not StateType.CANCELLING:
            return None
        if run.leased or run.state_type not in self.WITHOUT_PROCESS:
            return None
        cancelled = Cancelled(message=proposal.state.message or "Cancelled before it started.")
        return Decision(Status.REJECT, "no process to stop", store=cancelled)


class CrashIsRetried:
    """A run whose process or agent was killed stays down, although its flow asked to be run again.

    Whoever notices the crash proposes CRASHED: the history shows it, and the next try after it. An attempt
    that was killed before its flow began could not say what its flow asks for, and has done nothing that
    must not be done again; a few more are made, as what kills them may be the code that is loaded.
    """

    BEFORE_IT_BEGAN = 3

    def judge(self, run: Current, proposal: Proposal) -> Decision | None:
        retries = run.crash_retries
        if run.state_type is StateType.PENDING and proposal.attempt is not None:
            retries = max(retries, self.BEFORE_IT_BEGAN)
        if proposal.type is not StateType.CRASHED or run.crash_count >= retries:
            return None
        if run.is_subflow or not run.has_deployment:
            return None  # no agent would know what to execute
        number = f"{run.crash_count + 1}/{retries}"
        awaiting = AwaitingRetry(
            run.now + timedelta(seconds=run.crash_retry_delay_seconds),
            message=f"Crash retry {number}. {proposal.state.message}",
            timestamp=max(run.now, proposal.state.timestamp),
        )
        return Decision(Status.REJECT, f"crash retry {number}", store=proposal.state, then=awaiting)


class PendingIsALock:
    """Two workers that poll one queue both submit the same run: the second must lose."""

    def judge(self, run: Current, proposal: Proposal) -> Decision | None:
        if proposal.type is not StateType.PENDING:
            return None
        if run.state_type is StateType.PENDING and proposal.state.name in {"Pending", run.state_name}:
            return Decision(Status.ABORT, "the run is already pending elsewhere")
        if run.state_type is StateType.RUNNING:
            return Decision(Status.ABORT, "the run is already running")
        return None


class NotBeforeItsTime:
    """A process that was prepared ahead starts the run before it is due."""

    EARLY = frozenset({StateType.SCHEDULED, StateType.PENDING})

    def judge(self, run: Current, proposal: Proposal) -> Decision | None:
        if proposal.type is not StateType.RUNNING or run.state_type not in self.EARLY:
            return None
        wait = (run.expected_start_time - run.now).total_seconds()
        if wait <= 0:
            return None
        return Decision(Status.WAIT, "the run is not due yet", delay_seconds=wait)


class LateOnlyWhileScheduled:
    """The late marker read the run before an agent took it, and writes after."""

    def judge(self, run: Current, proposal: Proposal) -> Decision | None:
        if proposal.type is not StateType.SCHEDULED or proposal.state.name != "Late":
            return None
        if run.state_type is StateType.SCHEDULED and run.state_name == "Scheduled":
            return None
        return Decision(Status.REJECT, f"the run is {run.state_name}, not waiting to start")


class PauseWhileRunning:
    """Code that is executed again comes to a pause that was answered: it must pass, not ask again.

    What does not run has nothing to pause. And a process can pause only itself: a pause written by somebody
    else would say Paused while the code runs on.
    """

    def judge(self, run: Current, proposal: Proposal) -> Decision | None:
        if proposal.type is not StateType.PAUSED:
            return None
        if run.state_type is not StateType.RUNNING:
            return Decision(Status.REJECT, f"the run is {run.state_name}: only running runs pause")
        if proposal.state.details.get("pause_key") in run.pause_keys:
            return Decision(Status.REJECT, "this pause was passed before")
        if run.leased and proposal.attempt is None and not proposal.state.details.get("pause_reschedule"):
            return Decision(Status.REJECT, "only its own process can pause the run: suspend it instead")
        return None


class SuspendWhatCanBeResumed:
    """A suspended run is taken up again by an agent, which must find its code: it would sleep for ever."""

    def judge(self, run: Current, proposal: Proposal) -> Decision | None:
        if proposal.type is not StateType.PAUSED or not proposal.state.details.get("pause_reschedule"):
            return None
        if run.is_subflow:
            return Decision(Status.ABORT, "a subflow is suspended with its root run")
        if not run.has_deployment:
            return Decision(Status.ABORT, "without a deployment, no agent could take the run up again")
        return None


class ResumeAsItWasPaused:
    """Whoever resumes a run too late finds that nobody waits any more.

    A waiting process goes on; rescheduling would take its run away. Without one, RUNNING would be a lie.
    The process itself may do what it likes.
    """

    RESUMED = frozenset({StateType.RUNNING, StateType.SCHEDULED, StateType.PENDING})

    def judge(self, run: Current, proposal: Proposal) -> Decision | None:
        if run.state_type is not StateType.PAUSED or proposal.attempt is not None:
            return None
        if proposal.type not in self.RESUMED:
            return None
        if run.pause_expires is not None and run.pause_expires <= run.now:
            failed = Failed(message="The run was paused, and nobody resumed it in time.")
            return Decision(Status.REJECT, "nobody resumed it in time", store=failed)
        wanted = StateType.SCHEDULED if run.state_name == "Suspended" else StateType.RUNNING
        if proposal.type is not wanted:
            return Decision(Status.REJECT, f"a {run.state_name} run is resumed by {wanted.value}")
        return None


class PauseEndsOnce:
    """A waiting process gives up in the moment in which somebody resumes its run: the answer counts."""

    def judge(self, run: Current, proposal: Proposal) -> Decision | None:
        if not proposal.state.details.get("pause_over") or run.state_type is not StateType.RUNNING:
            return None
        return Decision(Status.REJECT, "the run was resumed")


@dataclass(frozen=True, slots=True)
class Policy:
    """An ordered list of rules."""

    rules: tuple[Rule, ...] = field(
        default=(
            AlreadyStored(),
            StaleAttempt(),
            TerminalIsFinal(),
            CancellingIsSticky(),
            SubflowIsNotCancelledAlone(),
            NothingToKill(),
            CrashIsRetried(),
            PendingIsALock(),
            NotBeforeItsTime(),
            LateOnlyWhileScheduled(),
            PauseWhileRunning(),
            SuspendWhatCanBeResumed(),
            ResumeAsItWasPaused(),
            PauseEndsOnce(),
        )
    )

    def decide(self, run: Current, proposal: Proposal) -> Decision:
        """The first rule that has an opinion decides; otherwise the proposal is accepted."""
        for rule in self.rules:
            decision = rule.judge(run, proposal)
            if decision is not None:
                return decision
        return Decision(Status.ACCEPT, "", store=proposal.state)


ORCHESTRATION = Policy()
FORCED = Policy(rules=(AlreadyStored(), StaleAttempt()))
