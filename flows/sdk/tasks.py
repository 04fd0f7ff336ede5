"""Tasks: functions whose calls within a flow run are recorded, retried and run side by side."""

import inspect
from collections.abc import Callable, Coroutine, Iterable
from functools import update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar, cast, overload

from flows.sdk import logs
from flows.sdk.context import FlowRunContext, current_flow
from flows.sdk.futures import FutureList, TaskFuture
from flows.sdk.inputs import Unmapped, resolved
from flows.sdk.options import checked_retries, described, key_of
from flows.sdk.states import State
from flows.sdk.steps import drive, drive_async, run_coroutine
from flows.sdk.task_engine import TaskCall

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Task(Generic[P, R]):
    """A function as a task. Made by `@task`; its options are described there."""

    def __init__(
        self,
        fn: Callable[P, R],
        *,
        name: str | None = None,
        description: str | None = None,
        version: str | None = None,
        tags: Iterable[str] = (),
        task_run_name: str | None = None,
        retries: int = 0,
        retry_delay_seconds: float = 0,
        log_prints: bool | None = None,
    ) -> None:
        checked_retries(retries, retry_delay_seconds)
        update_wrapper(self, fn)
        self.fn = fn
        self.name = name or fn.__name__
        self.description = described(fn, description)
        self.version = version
        self.tags = tuple(tags)
        self.task_run_name = task_run_name
        self.retries = retries
        self.retry_delay_seconds = retry_delay_seconds
        self.log_prints = log_prints
        self.task_key = key_of(fn, self.name)
        self.is_async = inspect.iscoroutinefunction(fn)
        self._signature = inspect.signature(fn)
        if log_prints:
            logs.capture_prints()

    def with_options(self, **options: Any) -> "Task[P, R]":
        """A copy of the task with other options."""
        return Task(self.fn, **{**self._options(), **options})

    def _options(self) -> dict[str, Any]:
        names = inspect.signature(Task.__init__).parameters.keys() - {"self", "fn"}
        return {name: getattr(self, name) for name in names}

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the task here and return its result (a coroutine, if the function is one).

        `wait_for=[futures]` lets others finish first; `return_state=True` returns the final state
        instead of the result, also when the task failed.
        """
        wait_for, return_state = _call_options(kwargs)
        if self.is_async:
            return cast(R, self._call_async(args, kwargs, wait_for, return_state))
        state = drive(TaskCall(self, args, kwargs, wait_for).steps())
        return cast(R, state if return_state else state.result())

    async def _call_async(self, args: Any, kwargs: Any, wait_for: Any, return_state: bool) -> Any:
        state = await drive_async(TaskCall(self, args, kwargs, wait_for).steps())
        return state if return_state else state.result()

    @overload
    def submit(self: "Task[P, Coroutine[Any, Any, T]]", *args: Any, **kwargs: Any) -> TaskFuture[T]: ...

    @overload
    def submit(self, *args: Any, **kwargs: Any) -> TaskFuture[R]: ...

    def submit(self, *args: Any, **kwargs: Any) -> Any:
        """Start the task on the flow's task runner and return its future at once.

        Futures among the arguments are waited for and replaced by their results. Takes `wait_for` as a
        direct call does; with `return_state=True` it waits and returns the final state.
        Raises RuntimeError outside flows.
        """
        wait_for, return_state = _call_options(kwargs)
        future = self._submit(self._surrounding_flow(), args, kwargs, wait_for)
        if not return_state:
            return future
        future.wait()
        return future.state

    @overload
    def map(self: "Task[P, Coroutine[Any, Any, T]]", *args: Any, **kwargs: Any) -> FutureList[T]: ...

    @overload
    def map(self, *args: Any, **kwargs: Any) -> FutureList[R]: ...

    def map(self, *args: Any, **kwargs: Any) -> Any:
        """Submit the task once for each item of its iterable arguments, and return the futures.

        Iterables must be equally long. Text, bytes, dicts, other values and `unmapped(...)` are passed
        whole to every call. Raises ValueError if lengths differ or nothing can be iterated over.
        """
        wait_for, return_state = _call_options(kwargs)
        flow = self._surrounding_flow()
        wait_for = (*wait_for, *_futures(args), *_futures(kwargs.values()))
        names = [*range(len(args)), *kwargs]
        columns = _columns(names, [*args, *kwargs.values()])
        futures: FutureList[Any] = FutureList()
        for row in zip(*columns, strict=True):
            positional, named = row[: len(args)], dict(zip(kwargs, row[len(args) :], strict=True))
            futures.append(self._submit(flow, positional, named, wait_for))
        if not return_state:
            return futures
        futures.wait()
        return [future.state for future in futures]

    def arguments(self, args: Iterable[Any], kwargs: Any) -> dict[str, Any]:
        """Arguments by name, defaults included. Raises TypeError if they do not fit the function."""
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return dict(bound.arguments)

    def _surrounding_flow(self) -> FlowRunContext:
        flow = current_flow.get()
        if flow is None:
            raise RuntimeError(
                f"Task {self.name!r} can only be submitted inside a flow. "
                f"Call it directly, {self.name}(...), or from a function with @flow."
            )
        return flow

    def _submit(self, flow: FlowRunContext, args: Any, kwargs: Any, wait_for: Any) -> TaskFuture[Any]:
        call = TaskCall(self, args, kwargs, wait_for)
        return flow.runner.submit(call.run, lambda: _final_state(call))

    def __repr__(self) -> str:
        return f"Task({self.name!r})"


def _final_state(call: TaskCall) -> State:
    """Run the call to its end in this thread; what would end the thread becomes the state."""
    try:
        if call.task.is_async:
            return run_coroutine(drive_async(call.steps()))
        return drive(call.steps())
    except BaseException as error:
        return call.run.ended_by(error)


def _call_options(kwargs: dict[str, Any]) -> tuple[Any, bool]:
    return kwargs.pop("wait_for", None) or (), bool(kwargs.pop("return_state", False))


def _futures(values: Iterable[Any]) -> list[TaskFuture[Any]]:
    return [value for value in values if isinstance(value, TaskFuture)]


def _columns(names: list[Any], values: list[Any]) -> list[list[Any]]:
    """One list per argument, all equally long: a column per argument, a row per call."""
    values = [value if isinstance(value, Unmapped) else _waited(value) for value in values]
    lengths = {name: len(v) for name, v in zip(names, values, strict=True) if isinstance(v, list)}
    if not lengths:
        raise ValueError("map() needs at least one argument to iterate over, such as a list.")
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name}: {length}" for name, length in lengths.items())
        raise ValueError(f"map() needs iterables of the same length, but these differ ({told}).")
    count = next(iter(lengths.values()))
    return [v if isinstance(v, list) else [_whole(v)] * count for v in values]


def _whole(value: Any) -> Any:
    return value.value if isinstance(value, Unmapped) else value


def _waited(value: Any) -> Any:
    """An iterable argument as a list; a future of one is waited for."""
    if isinstance(value, TaskFuture):
        value.wait()
        value = resolved(value)
    if isinstance(value, str | bytes | dict) or not hasattr(value, "__iter__"):
        return value
    return list(value)


@overload
def task(fn: Callable[P, R], /) -> Task[P, R]: ...


@overload
def task(
    *,
    name: str | None = None,
    description: str | None = None,
    version: str | None = None,
    tags: Iterable[str] = (),
    task_run_name: str | None = None,
    retries: int = 0,
    retry_delay_seconds: float = 0,
    log_prints: bool | None = None,
) -> Callable[[Callable[P, R]], Task[P, R]]: ...


def task(fn: Any = None, /, **options: Any) -> Any:
    """Make a function a task: `@task` or `@task(retries=3, ...)`.

    name: shown for its task runs; default: the function's name.
    description: default: the docstring.
    version: any text.
    tags: for each of its task runs, beside those of a surrounding `tags()` block.
    task_run_name: template over the arguments, such as "load-{year}"; default: name and call number.
    retries: how often to try again after an exception.
    retry_delay_seconds: how long to wait before each.
    log_prints: write what `print` shows to the run's log; None: as the flow does.
    """
    if fn is None:
        return lambda function: Task(function, **options)
    return Task(fn, **options)
