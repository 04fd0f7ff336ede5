"""How a flow run goes: propose each state, call the function, try again, end in a true state."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from flows.sdk import logs
from flows.sdk.context import FlowRunContext, current_flow, current_task
from flows.sdk.crashes import crashed
from flows.sdk.futures import TaskFuture
from flows.sdk.inputs import as_states, upstream_of
from flows.sdk.outcome import state_of
from flows.sdk.parameters import ParameterTypeError
from flows.sdk.recorder import Aborted, FlowRunInfo, Recorder, Status, Verdict
from flows.sdk.signals import RunReleased, TerminationSignal
from flows.sdk.states import AwaitingRetry, Cancelled, Failed, Retrying, Running, State
from flows.sdk.steps import Call, Sleep, Steps, Wait, drive, drive_async, run_coroutine
from flows.sdk.task_engine import user_traceback

if TYPE_CHECKING:
    from flows.sdk.flows import Flow

__all__ = ["FlowEngine", "RunReleased", "TerminationSignal", "run_flow"]

# A flow that waits longer for its next try gives its process back.
LONGEST_WAIT_IN_PROCESS = 60.0


def run_flow(
    flow: "Flow[Any, Any]", parameters: Mapping[str, Any], *, recorder: Recorder, run: FlowRunInfo
) -> State:
    """Run an existing flow run in this process, and return the state it ended in.

    `parameters` are JSON values by name. Whatever the function raises becomes the state. Raises
    Aborted when this attempt lost the run, and RunReleased when a retry was scheduled for later.
    """
    engine = FlowEngine(flow, dict(parameters), recorder, run, may_release=True)
    try:
        if flow.is_async:
            return run_coroutine(drive_async(engine.steps()))
        return drive(engine.steps())
    except (Aborted, RunReleased):
        raise
    except BaseException:
        if engine.state is None or not engine.state.is_terminal():
            raise
        return engine.state


class FlowEngine:
    """One flow run in this process, over all its tries."""

    def __init__(
        self,
        flow: "Flow[Any, Any]",
        parameters: dict[str, Any],
        recorder: Recorder,
        run: FlowRunInfo,
        may_release: bool = False,
    ) -> None:
        self.flow = flow
        self.parameters = parameters
        self.recorder = recorder
        self.run = run
        self.may_release = may_release
        self.run_count = run.run_count
        self.state: State | None = None
        self.logger = logs.logger_of_run(recorder, run.id, f"Flow run {run.name!r}")

    def steps(self) -> Steps[State]:
        """The engine: returns the final state; raises what ends more than this flow run."""
        try:
            return (yield from self._tries())
        except (Aborted, RunReleased):
            raise
        except TerminationSignal:
            self._end(Cancelled(message="The run was cancelled while it ran."))
            raise
        except BaseException as error:
            self._end(crashed(error))
            raise

    def _tries(self) -> Steps[State]:
        verdict = yield from self._propose(Retrying() if self.run_count else Running())
        if verdict.status is Status.ACCEPT and (unfit := self._check_parameters()):
            return self._end(unfit)
        while verdict.status is Status.ACCEPT:
            self.run_count += 1
            outcome = yield from self._try()
            if not outcome.is_failed() or self.run_count > self.flow.retries:
                return self._end(outcome)
            verdict = yield from self._await_retry(outcome)
        return self._stopped_at(verdict)

    def _check_parameters(self) -> State | None:
        """Convert the parameters; the state to end in, if they do not fit. No retry would change that."""
        try:
            self.parameters = self.flow.checked(self.parameters)
        except ParameterTypeError as error:
            self.logger.error("%s", error)
            return Failed(message=str(error), data=error)
        return None

    def _propose(self, state: State) -> Steps[Verdict]:
        """Propose until the answer is not WAIT. Raises Aborted if the answer is ABORT."""
        while True:
            verdict = self.recorder.transition(self.run.id, state)
            if verdict.status is Status.ABORT:
                raise Aborted(verdict.reason)
            if verdict.status is not Status.WAIT:
                self.state = verdict.state or state
                return verdict
            self.logger.info("Waiting %g second(s): %s", verdict.delay_seconds, verdict.reason)
            yield Sleep(verdict.delay_seconds)

    def _try(self) -> Steps[State]:
        """Call the function once, see its submitted tasks to their end, and judge the outcome."""
        runner = self.flow.task_runner.duplicate()
        context = FlowRunContext(self.flow, self.run, self.recorder, runner, self.parameters, self.run_count)
        tokens = current_flow.set(context), current_task.set(None)
        try:
            return (yield from self._call(context))
        except Exception as error:
            return self._failed(error)
        except (Aborted, RunReleased):
            raise
        except TerminationSignal:
            runner.cancel(Cancelled(message="The flow run was cancelled."))
            raise
        except BaseException as error:
            runner.cancel(crashed(error))
            raise
        finally:
            runner.close()
            current_task.reset(tokens[1])
            current_flow.reset(tokens[0])

    def _call(self, context: FlowRunContext) -> Steps[State]:
        args, kwargs = self.flow.parameters.as_call(self.parameters)
        try:
            value = yield Call(self.flow.fn, args, kwargs)
        except Exception:
            context.runner.cancel_waiting(Cancelled(message="The flow run failed before this task began."))
            yield Wait(context.runner.unfinished())
            raise
        yield Wait([source for source in upstream_of((value,)) if isinstance(source, TaskFuture)])
        while unfinished := context.runner.unfinished():
            yield Wait(unfinished)
        return state_of(as_states(value), single_future=isinstance(value, TaskFuture))

    def _failed(self, error: Exception) -> State:
        self.logger.error("Flow run failed with exception: %r\n%s", error, user_traceback(error))
        message = f"Flow run encountered an exception: {type(error).__name__}: {error}"
        return Failed(message=message, data=error)

    def _await_retry(self, outcome: State) -> Steps[Verdict]:
        """Wait in this process and propose to run again, or give the run back and raise RunReleased."""
        delay = self.flow.retry_delay_seconds
        due = datetime.now(UTC) + timedelta(seconds=delay)
        stay = delay <= LONGEST_WAIT_IN_PROCESS or not self.may_release
        details = {"retry_in_process": True} if stay else {}
        awaiting = AwaitingRetry(due, message=outcome.message, details=details)
        self.logger.info("Retry %d/%d will start in %g second(s)", self.run_count, self.flow.retries, delay)
        verdict = yield from self._propose(awaiting)
        if verdict.status is not Status.ACCEPT:
            return verdict
        if not stay:
            raise RunReleased(f"The next try is due at {due.isoformat()}.")
        yield Sleep(delay)
        return (yield from self._propose(Retrying()))

    def _end(self, outcome: State) -> State:
        """Propose the final state; what holds then is what the recorder answers."""
        level = "info" if outcome.is_completed() else "error"
        getattr(self.logger, level)("Finished in state %s", outcome)
        verdict = self.recorder.transition(self.run.id, outcome)
        if verdict.status is Status.ABORT:
            raise Aborted(verdict.reason)
        accepted = verdict.status is Status.ACCEPT or verdict.state is None
        self.state = outcome if accepted else verdict.state
        return self.state or outcome

    def _stopped_at(self, verdict: Verdict) -> State:
        """The run is in another state than proposed, so its function is not called."""
        state = verdict.state or Failed(message=verdict.reason)
        self.logger.info("Not run, because the run is now in state %s. %s", state, verdict.reason)
        self.state = state
        return state
