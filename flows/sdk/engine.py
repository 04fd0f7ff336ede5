"""How a flow run goes: propose each state, call the function, try again, end in a true state."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from flows.sdk import logs, names, options
from flows.sdk.clock import now
from flows.sdk.context import FlowRunContext, current_flow, current_task
from flows.sdk.crashes import STOPS, crashed, stopped
from flows.sdk.flow_results import keep, returned_key
from flows.sdk.futures import TaskFuture
from flows.sdk.generators import body
from flows.sdk.hooks import Hook, run_hooks
from flows.sdk.inputs import as_states, futures_of
from flows.sdk.outcome import state_of
from flows.sdk.parameters import ParameterTypeError
from flows.sdk.recorder import Aborted, FlowRunInfo, Recorder, Status, Verdict
from flows.sdk.replay import Replay
from flows.sdk.signals import DeadlinePassed, HandedBack, RunReleased, TerminationSignal
from flows.sdk.states import AwaitingRetry, Cancelled, Cancelling, Crashed, Failed, Retrying, Running, State
from flows.sdk.steps import Sleep, Steps, Wait, drive, drive_async, run_coroutine
from flows.sdk.task_engine import user_traceback
from flows.sdk.timeouts import FlowRunTimeoutError, Limit, limit_of, limited

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
        result_key: str | None = None,
    ) -> None:
        self.flow = flow
        self.parameters = parameters
        self.recorder = recorder
        self.run = run
        self.may_release = may_release
        self.result_key = returned_key(run.id) if result_key is None else result_key
        self.run_count = run.run_count
        self.replay = Replay() if flow.retries else None
        self.state: State | None = None
        self._ending: State | None = None
        self.logger = self._logger()

    def _logger(self) -> logs.RunLogger:
        return logs.logger_of_run(self.recorder, self.run.id, f"Flow run {self.run.name!r}")

    def steps(self) -> Steps[State]:
        """The engine: returns the final state; raises what ends more than this flow run."""
        try:
            state = yield from self._tries()
        except HandedBack:
            self._end_if_ending()
            raise
        except (Aborted, RunReleased):
            raise
        except STOPS as signal:
            yield from self._stop(stopped(signal))
            raise
        except BaseException as error:
            state = self._end(crashed(error))
            if state.is_crashed():
                yield from self._hooks(self.flow.on_crashed_hooks, state)
            raise
        yield from self._hooks(self._hooks_for(state), state)
        return state

    def _stop(self, outcome: State) -> Steps[None]:
        """End in `outcome`, unless the signal came while an end was being stored: that one may hold."""
        if self._end_if_ending():
            return
        yield from self._hooks(self.flow.on_cancellation_hooks, Cancelling(message=outcome.message))
        self._end(outcome)

    def _end_if_ending(self) -> bool:
        """Whether the run is over because a signal came while its end was being stored."""
        return self._ending is not None and self._end(self._ending).is_terminal()

    def _tries(self) -> Steps[State]:
        unfit = self._prepare()
        verdict = yield from self._propose(self._first_state())
        if verdict.status is Status.ACCEPT and unfit:
            return self._end(unfit)
        while verdict.status is Status.ACCEPT:
            self.run_count += 1
            yield from self._hooks(self.flow.on_running_hooks, self.state or Running())
            outcome = yield from self._try()
            if not outcome.is_failed() or self._failures() > self.flow.retries:
                return self._end(outcome)
            verdict = yield from self._await_retry(outcome)
        return self._stopped_at(verdict)

    def _failures(self) -> int:
        """How many tries were not ended by a crash, this one included."""
        return max(1, self.run_count - self.run.crash_count)

    def _first_state(self) -> State:
        """What the run enters when this process begins with it; its row learns of it what it has to know."""
        details = self._details_of_try()
        if self.flow.flow_run_name:
            details["run_name"] = self.run.name
        if self.flow.crash_retries:
            details["crash_retries"] = self.flow.crash_retries
            details["crash_retry_delay_seconds"] = self.flow.crash_retry_delay_seconds
        return Retrying(details=details) if self.run_count else Running(details=details)

    def _details_of_try(self) -> dict[str, Any]:
        """What the run's row has to know while a try is under way: who watches it ends it if it hangs."""
        seconds = self.flow.timeout_seconds
        return {} if seconds is None else {"timeout_seconds": seconds}

    def _prepare(self) -> State | None:
        """Convert the parameters and name the run; the state to end in, if that cannot be done.

        No retry would change that.
        """
        try:
            self.parameters = self.flow.checked(self.parameters)
            if self.flow.flow_run_name:
                self._rename(self.flow.flow_run_name)
        except ParameterTypeError as error:
            self.logger.error("%s", error)
            return Failed(message=str(error), data=error)
        except Exception as error:
            self.logger.exception("The flow run could not be named")
            return Failed(message=f"The flow run could not be named: {error}", data=error)
        return None

    def _rename(self, wanted: names.RunName) -> None:
        context = self._context()
        token = current_flow.set(context)  # the function may ask `runtime.flow_run`
        try:
            name = names.run_name(wanted, self.parameters, "flow_run_name")
        finally:
            current_flow.reset(token)
        self.run = replace(self.run, name=name)
        self.logger = self._logger()

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

    def _context(self) -> FlowRunContext:
        """What the code of the next try stands in."""
        return FlowRunContext(
            self.flow,
            self.run,
            self.recorder,
            self.flow.task_runner.duplicate(),
            self.parameters,
            self.run_count,
            self._logs_prints(),
            self.replay,
        )

    def _logs_prints(self) -> bool:
        wanted = self.flow.log_prints
        if wanted is None:
            around = current_flow.get()
            wanted = around.log_prints if around else options.default_log_prints()
        if wanted:
            logs.capture_prints()
        return wanted

    def _try(self) -> Steps[State]:
        """Call the function once, see its submitted tasks to their end, and judge the outcome."""
        context = self._context()
        runner = context.runner
        tokens = current_flow.set(context), current_task.set(None)
        try:
            return (yield from self._call_in_time(context))
        except Exception as error:
            return self._failed(error)
        except (Aborted, RunReleased):
            raise
        except STOPS as signal:
            runner.cancel(stopped(signal))
            raise
        except BaseException as error:
            runner.cancel(crashed(error))
            raise
        finally:
            runner.close()
            _end_open_runs(context)
            current_task.reset(tokens[1])
            current_flow.reset(tokens[0])

    def _call_in_time(self, context: FlowRunContext) -> Steps[State]:
        limit = context.limit = limit_of(self.flow.timeout_seconds)
        try:
            return (yield from self._call(context, limit))
        except DeadlinePassed as passed:
            if passed.limit is not limit or limit is None:
                raise
            context.runner.cancel(stopped(passed))
            message = f"Flow run exceeded timeout of {limit.seconds:g} second(s)"
            self.logger.error(message)
            return Failed(name="TimedOut", message=message, data=FlowRunTimeoutError(message))

    def _call(self, context: FlowRunContext, limit: Limit | None) -> Steps[State]:
        flow, runner = self.flow, context.runner
        args, kwargs = flow.parameters.as_call(self.parameters)
        try:
            value = yield from body(flow.fn, args, kwargs, limit, flow.is_generator)
        except Exception:
            runner.cancel_waiting(Cancelled(message="The flow run failed before this task began."))
            yield limited(Wait(runner.unfinished()), limit)
            raise
        yield limited(Wait(futures_of((value,))), limit)
        while unfinished := runner.unfinished():
            yield limited(Wait(unfinished), limit)
        return state_of(as_states(value), single_future=isinstance(value, TaskFuture))

    def _failed(self, error: Exception) -> State:
        self.logger.error("Flow run failed with exception: %r\n%s", error, user_traceback(error))
        message = f"Flow run encountered an exception: {type(error).__name__}: {error}"
        name = "TimedOut" if isinstance(error, TimeoutError) else ""  # a timeout of the code's own
        return Failed(name=name, message=message, data=error)

    def _await_retry(self, outcome: State) -> Steps[Verdict]:
        """Wait in this process and propose to run again, or give the run back and raise RunReleased."""
        delay = self.flow.retry_delay_seconds
        due = now() + timedelta(seconds=delay)
        stay = delay <= LONGEST_WAIT_IN_PROCESS or not self.may_release
        details = {"retry_in_process": True} if stay else {}
        awaiting = AwaitingRetry(due, message=outcome.message, details=details)
        number = self._failures()
        self.logger.info("Retry %d/%d will start in %g second(s)", number, self.flow.retries, delay)
        verdict = yield from self._propose(awaiting)
        if verdict.status is not Status.ACCEPT:
            return verdict
        if not stay:
            raise RunReleased(f"The next try is due at {due.isoformat()}.")
        yield Sleep(delay)
        return (yield from self._propose(Retrying(details=self._details_of_try())))

    def _end(self, outcome: State) -> State:
        """Propose the final state; what holds then is what the recorder answers.

        Raises RunReleased if that is another try, after a crash.
        """
        level = "info" if outcome.is_completed() else "error"
        getattr(self.logger, level)("Finished in state %s", outcome)
        if outcome.is_completed() and self.result_key:
            keep(self.flow, self.recorder, self.result_key, outcome.data, self.logger)
        self._ending = outcome
        verdict = self.recorder.transition(self.run.id, outcome)
        self._ending = None
        if verdict.status is Status.ABORT:
            raise Aborted(verdict.reason)
        accepted = verdict.status is Status.ACCEPT or verdict.state is None
        self.state = outcome if accepted else verdict.state
        if self.state is not None and self.state.is_scheduled():
            raise RunReleased(verdict.reason)
        return self.state or outcome

    def _stopped_at(self, verdict: Verdict) -> State:
        """The run is in another state than proposed, so its function is not called."""
        state = verdict.state or Failed(message=verdict.reason)
        self.logger.info("Not run, because the run is now in state %s. %s", state, verdict.reason)
        self.state = state
        return state

    def _hooks_for(self, state: State) -> Sequence[Hook]:
        if state.is_completed():
            return self.flow.on_completion_hooks
        if state.is_crashed():
            return self.flow.on_crashed_hooks
        return self.flow.on_failure_hooks if state.is_failed() else ()

    def _hooks(self, hooks: Sequence[Hook], state: State) -> Steps[None]:
        if hooks:
            yield from run_hooks(hooks, self.flow, self.run, state, self.logger)


def _end_open_runs(context: FlowRunContext) -> None:
    """Nobody waits for these any more: they are in threads that a timeout or the user left behind."""
    for run in list(context.open):
        run.enter(Crashed(message="Its flow run ended before it did."))
