"""How a task run goes: wait for its inputs, call the function, try again, report each state."""

import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from flows.sdk import logs, names
from flows.sdk.caching import kept, refreshes
from flows.sdk.clock import now
from flows.sdk.context import (
    FlowRunContext,
    TaskRunContext,
    current_flow,
    current_tags,
    current_task,
    merge_tags,
)
from flows.sdk.crashes import STOPS, crashed, stopped
from flows.sdk.errands import Place, ProcessLost, RemoteTraceback, Sent
from flows.sdk.futures import TaskFuture
from flows.sdk.generators import body
from flows.sdk.hooks import UserCall, run_hooks
from flows.sdk.inputs import UpstreamTaskError, futures_of, replaceable, resolved
from flows.sdk.recorder import Aborted
from flows.sdk.replay import Replay
from flows.sdk.result_options import is_asked_for
from flows.sdk.retries import delay_before
from flows.sdk.signals import DeadlinePassed, RunReleased
from flows.sdk.states import (
    AwaitingRetry,
    Completed,
    Crashed,
    Failed,
    Pending,
    Retrying,
    Running,
    State,
    StoredValue,
)
from flows.sdk.steps import Sleep, Steps, Wait, drive, drive_async, run_coroutine
from flows.sdk.task_run import TaskRun
from flows.sdk.timeouts import Limit, TaskRunTimeoutError, limit_of

if TYPE_CHECKING:
    from flows.sdk.leases import Lease
    from flows.sdk.tasks import Task


class TaskCall:
    """One call of a task: its arguments, and the task run that comes of it.

    `streams`: the caller takes the items of a generator one by one, so that nobody has them as a result.
    """

    __slots__ = ("after", "args", "kept", "kwargs", "place", "run", "streams", "task", "unresolved")

    def __init__(
        self,
        task: "Task[Any, Any]",
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        wait_for: Iterable[Any] = (),
        run: TaskRun | None = None,
        streams: bool = False,
    ) -> None:
        """`run` None: a task run is made for the call."""
        self.task = task
        self.streams = streams
        self.args = args
        self.kwargs = kwargs
        self.place: Place | None = None
        self.kept: StoredValue | None = None  # what stands for its result, which does not stay in memory
        self.after = tuple(wait_for)
        given = (*args, *kwargs.values())
        self.unresolved = replaceable((*given, *self.after) if self.after else given)
        flow = current_flow.get()
        inputs: dict[str, list[str]] = {}
        if self.unresolved:
            inputs = edges(task.arguments(args, kwargs), self.after, flow)
        elif flow is not None and flow.origins.know_any(given):
            inputs = flow.origins.edges(task.named(args, kwargs))
        if parent := current_task.get():
            inputs["__parents__"] = [str(parent.id)]
        tags = merge_tags(current_tags.get(), task.tags)
        self.run = run or TaskRun(flow, task.name, task.task_key, tags, inputs)

    def finish(self, place: Place | None = None) -> State:
        """Run to the end from this thread; what would end the thread becomes the state.

        The function is called at the `place`, else here.
        """
        self.place = place
        try:
            if self.task.is_async and place is None:
                state = run_coroutine(drive_async(self.steps()))
            else:
                state = drive(self.steps())
        except BaseException as error:
            return self.run.ended_by(error)
        if self.kept is not None and state.is_completed():
            state = self.run.state = replace(state, data=self.kept)
        return state

    def steps(self) -> Steps[State]:
        """The engine: returns the final state; raises what ends more than this task run."""
        if self.unresolved:
            try:
                yield from self._resolve_inputs()
            except UpstreamTaskError as error:
                return self.run.leave(Pending(name="NotReady", message=str(error)))
        run = self.run
        context = TaskRunContext(self.task, run.id, run.name, run.tags, run.flow, call=self)
        token = current_task.set(context)
        try:
            return (yield from kept(self, context))
        except (Aborted, RunReleased):
            raise
        except STOPS as signal:
            self.run.enter(stopped(signal))
            raise
        except BaseException as error:
            self.run.enter(crashed(error))
            raise
        finally:
            current_task.reset(token)

    def _resolve_inputs(self) -> Steps[None]:
        yield Wait([source for source in self.unresolved if isinstance(source, TaskFuture)])
        resolved(self.after)
        self.args = [resolved(value) for value in self.args]
        self.kwargs = {name: resolved(value) for name, value in self.kwargs.items()}

    def tries(self, context: TaskRunContext, cached: State | None) -> Steps[State]:
        """All tries, to the final state; `cached` is the outcome, if it is known already."""
        run = self.run
        if unnamed := self._name(context):
            return run.enter(unnamed)
        begin = Running
        while True:
            outcome = cached or self._replayed()
            slots = None if outcome or not run.tags else (yield from self._slots())
            try:
                run.enter(begin())
                context.run_count = run.run_count
                if hooks := self.task.on_running_hooks:
                    yield from run_hooks(hooks, self.task, run, run.state, logs.task_logger(context))
                if isinstance(slots, State):
                    outcome = slots
                outcome = outcome or (yield from self._try(context))
            finally:
                if slots is not None and not isinstance(slots, State):
                    yield from slots.release()
            delay = (yield from self._after_failure(context, outcome)) if _went_wrong(outcome) else None
            if delay is None:
                return (yield from self._end(context, outcome))
            run.enter(AwaitingRetry(now() + timedelta(seconds=delay), message=outcome.message))
            yield Sleep(delay)
            begin = Retrying

    def _slots(self) -> "Steps[Lease | State | None]":
        """A slot of each limit on the run's tags; None: there is no limit. A failure: there is no slot."""
        from flows.sdk.tag_limits import slots_of  # brings the HTTP client

        try:
            return (yield from slots_of(self.run))
        except Exception as error:
            return Failed(message=f"No slot for its tags was to be had: {error}", data=error)

    def _name(self, context: TaskRunContext) -> State | None:
        """Give the task run the name that its task wants; the state to end in, if that goes wrong."""
        wanted = self.task.task_run_name
        if wanted is None:
            return None
        try:
            arguments = self.task.arguments(self.args, self.kwargs)
            self.run.name = context.name = names.run_name(wanted, arguments, "task_run_name")
        except Exception as error:
            return Failed(message=f"The task run could not be named: {error}", data=error)
        return None

    def _try(self, context: TaskRunContext) -> Steps[State]:
        """Call the function once, and judge the outcome."""
        task = self.task
        limit: Limit | None = None
        try:
            if self.place is not None:
                self.place.prepare()
            limit = limit_of(task.timeout_seconds)
            value = yield from self._called(context, limit)
        except DeadlinePassed as passed:
            if passed.limit is not limit or limit is None:
                raise
            message = f"Task run exceeded timeout of {limit.seconds:g} second(s)"
            return Failed(name="TimedOut", message=message, data=TaskRunTimeoutError(message))
        except ProcessLost as lost:
            return Crashed(message=str(lost), data=lost)
        except Exception as error:
            message = f"Task run encountered an exception {type(error).__name__}: {error}"
            name = "TimedOut" if isinstance(error, TimeoutError) else ""  # a timeout of the code's own
            return Failed(name=name, message=message, data=error)
        return value if isinstance(value, State) else Completed(data=value)

    def _called(self, context: TaskRunContext, limit: Limit | None) -> Steps[Any]:
        task = self.task
        if self.place is not None:
            return (yield Sent(self.place, context, self.args, self.kwargs, limit))
        return (yield from body(task.fn, self.args, self.kwargs, limit, task.is_generator))

    def _after_failure(self, context: TaskRunContext, outcome: State) -> Steps[float | None]:
        """Log, and return the seconds until the next try; None if there is none."""
        run, task = self.run, self.task
        logger = logs.task_logger(context)
        if run.run_count > task.retries:
            after, delay = "Retries are exhausted" if task.retries else "No retries are set", None
        elif not (yield from self._may_retry(logger, outcome)):
            after, delay = "Its retry condition is not met", None
        else:
            delay = delay_before(run.run_count, task.retry_delays, task.retry_jitter_factor)
            after = f"Retry {run.run_count}/{task.retries} will start in {delay:g} second(s)"
        logger.error("%s - %s%s", _what_failed(outcome), after, _traceback_below(outcome))
        return delay

    def _may_retry(self, logger: logs.RunLogger, outcome: State) -> Steps[bool]:
        condition = self.task.retry_condition_fn
        if condition is None:
            return True
        try:
            return bool((yield UserCall(condition, (self.task, self.run, outcome), logger)))
        except Exception:
            logger.exception("The retry condition of task %r raised an exception", self.task.name)
            return False

    def _end(self, context: TaskRunContext, outcome: State) -> Steps[State]:
        """Enter the final state and call the hooks that wait for it."""
        run, task = self.run, self.task
        run.enter(outcome)
        if (replay := self._replay()) and outcome.is_completed():
            replay.remember(run.key, self.inputs(), self.kwargs, outcome)
        if run.flow is not None and outcome.is_completed():
            run.flow.origins.note(outcome.data, run.id)
        hooks = task.on_completion_hooks if outcome.is_completed() else task.on_failure_hooks
        if hooks and (outcome.is_completed() or outcome.is_failed()):
            yield from run_hooks(hooks, task, run, outcome, logs.task_logger(context))
        return outcome

    def _replayed(self) -> State | None:
        """The result that this call had in an earlier try of the flow run."""
        replay = self._replay()
        found = replay.find(self.run.key, self.inputs(), self.kwargs) if replay else None
        return Completed(name="Cached", data=found.data) if found else None

    def _replay(self) -> Replay | None:
        """Where the flow run remembers results for its next try; None if it shall not remember this one."""
        task, flow = self.task, self.run.flow
        if flow is None or flow.replay is None or self.streams:
            return None
        return None if is_asked_for(task, flow) is False or refreshes(task) else flow.replay

    def inputs(self) -> tuple[Any, ...]:
        """The positional arguments; those of a method begin with what it is bound to."""
        return (getattr(self.task.fn, "__self__", None), *self.args)


def _went_wrong(outcome: State) -> bool:
    """Whether the run may be tried again: a process may be lost to another task that used up its memory."""
    return outcome.is_failed() or isinstance(outcome.data, ProcessLost)


def _what_failed(outcome: State) -> str:
    if _has_traceback(outcome):
        return f"Task run failed with exception: {outcome.data!r}"
    return outcome.message or f"Task run ended in state {outcome}"


def _traceback_below(outcome: State) -> str:
    return f"\n{user_traceback(outcome.data)}" if _has_traceback(outcome) else ""


def _has_traceback(outcome: State) -> bool:
    return isinstance(outcome.data, BaseException) and not isinstance(outcome.data, TaskRunTimeoutError)


def edges(
    arguments: Mapping[str, Any], wait_for: Sequence[Any] = (), flow: FlowRunContext | None = None
) -> dict[str, list[str]]:
    """Ids of the task runs that each argument came from; `wait_for` is one more argument.

    It came from them as a future, or as what one of the `flow`'s tasks has returned.
    """
    sources = {name: futures_of((value,)) for name, value in arguments.items()}
    sources["wait_for"] = futures_of(wait_for)
    by_futures = {name: [str(each.task_run_id) for each in found] for name, found in sources.items() if found}
    return {**(flow.origins.edges(arguments) if flow else {}), **by_futures}


def user_traceback(error: BaseException) -> str:
    """The traceback without the engine's own frames at its top."""
    if isinstance(error.__cause__, RemoteTraceback):
        return str(error.__cause__)
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_globals.get("__name__", "").startswith("flows.sdk."):
        frames = frames.tb_next
    return "".join(traceback.format_exception(type(error), error, frames or error.__traceback__)).rstrip()
