"""How a task run goes: wait for its inputs, call the function, try again, report each state."""

import traceback
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from flows.sdk import logs, names
from flows.sdk.context import TaskRunContext, current_flow, current_tags, current_task, merge_tags
from flows.sdk.crashes import crashed
from flows.sdk.futures import TaskFuture
from flows.sdk.inputs import Upstream, UpstreamTaskError, resolved, upstream_of, value_of
from flows.sdk.recorder import Aborted
from flows.sdk.signals import RunReleased, TerminationSignal
from flows.sdk.states import AwaitingRetry, Cancelled, Completed, Failed, Pending, Retrying, Running, State
from flows.sdk.steps import Call, Sleep, Steps, Wait
from flows.sdk.task_run import TaskRun

if TYPE_CHECKING:
    from flows.sdk.tasks import Task


class TaskCall:
    """One call of a task: its arguments, and the task run that comes of it."""

    __slots__ = ("args", "kwargs", "run", "task", "upstream")

    def __init__(
        self,
        task: "Task[Any, Any]",
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        wait_for: Iterable[Any] = (),
    ) -> None:
        self.task = task
        self.args = args
        self.kwargs = kwargs
        after = tuple(wait_for)
        self.upstream: list[Upstream] = upstream_of((*args, *kwargs.values(), *after))
        inputs = edges(task.arguments(args, kwargs), after) if self.upstream else {}
        if parent := current_task.get():
            inputs["__parents__"] = [str(parent.id)]
        tags = merge_tags(current_tags.get(), task.tags)
        self.run = TaskRun(current_flow.get(), task.name, task.task_key, tags, inputs)

    def steps(self) -> Steps[State]:
        """The engine: returns the final state; raises what ends more than this task run."""
        if self.upstream:
            try:
                yield from self._resolve_inputs()
            except UpstreamTaskError as error:
                return self.run.enter(Pending(name="NotReady", message=str(error)))
        context = TaskRunContext(self.task, self.run.id, self.run.name, self.run.tags, self.run.flow)
        token = current_task.set(context)
        try:
            return (yield from self._tries(context))
        except (Aborted, RunReleased):
            raise
        except TerminationSignal:
            self.run.enter(Cancelled(message="The flow run was cancelled."))
            raise
        except BaseException as error:
            self.run.enter(crashed(error))
            raise
        finally:
            current_task.reset(token)

    def _resolve_inputs(self) -> Steps[None]:
        yield Wait([source for source in self.upstream if isinstance(source, TaskFuture)])
        for source in self.upstream:
            value_of(source)
        self.args = [resolved(value) for value in self.args]
        self.kwargs = {name: resolved(value) for name, value in self.kwargs.items()}

    def _tries(self, context: TaskRunContext) -> Steps[State]:
        run, task = self.run, self.task
        if task.task_run_name:
            arguments = task.arguments(self.args, self.kwargs)
            run.name = context.name = names.from_template(task.task_run_name, arguments, "task_run_name")
        run.enter(Running())
        while True:
            context.run_count = run.run_count
            try:
                value = yield Call(task.fn, self.args, self.kwargs)
            except Exception as error:
                delay = self._after_failure(context, error)
                if delay is None:
                    message = f"Task run encountered an exception {type(error).__name__}: {error}"
                    return run.enter(Failed(message=message, data=error))
            else:
                return run.enter(value if isinstance(value, State) else Completed(data=value))
            yield Sleep(delay)
            run.enter(Retrying())

    def _after_failure(self, context: TaskRunContext, error: Exception) -> float | None:
        """Log, and return the seconds until the next try; None if there is none."""
        run, task = self.run, self.task
        logger = logs.task_logger(context)
        text = user_traceback(error)
        if run.run_count > task.retries:
            after = "Retries are exhausted" if task.retries else "No retries are set"
            logger.error("Task run failed with exception: %r - %s\n%s", error, after, text)
            return None
        delay = task.retry_delay_seconds
        run.enter(AwaitingRetry(datetime.now(UTC) + timedelta(seconds=delay), message=repr(error)))
        plan = f"Retry {run.run_count}/{task.retries} will start in {delay:g} second(s)"
        logger.error("Task run failed with exception: %r - %s\n%s", error, plan, text)
        return delay


def edges(arguments: Mapping[str, Any], wait_for: Sequence[Any] = ()) -> dict[str, list[str]]:
    """Ids of the task runs that each argument came from; `wait_for` is one more argument."""
    found = {name: _ids(upstream_of((value,))) for name, value in arguments.items()}
    found["wait_for"] = _ids(upstream_of(wait_for))
    return {name: ids for name, ids in found.items() if ids}


def _ids(sources: list[Upstream]) -> list[str]:
    return [str(source.task_run_id) for source in sources if isinstance(source, TaskFuture)]


def user_traceback(error: BaseException) -> str:
    """The traceback without the engine's own frames at its top."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_globals.get("__name__", "").startswith("flows.sdk."):
        frames = frames.tb_next
    return "".join(traceback.format_exception(type(error), error, frames or error.__traceback__)).rstrip()
