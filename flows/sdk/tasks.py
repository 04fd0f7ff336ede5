"""Tasks: functions whose calls within a flow run are recorded, retried and run side by side."""

import copy
import inspect
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Self, TypeVar, cast, overload

from flows.sdk import logs, options
from flows.sdk.base_transaction import TransactionHook
from flows.sdk.cache_policies import CacheKeyFn, CachePolicy
from flows.sdk.context import FlowRunContext, current_flow
from flows.sdk.drawing import current_drawing, drawn_call, refuse_map
from flows.sdk.futures import FutureList, TaskFuture
from flows.sdk.generators import stream, stream_async
from flows.sdk.hooks import H, Hook, checked_hooks
from flows.sdk.mapping import columns, futures_among
from flows.sdk.names import RunName, checked_run_name
from flows.sdk.result_files import ResultStorage
from flows.sdk.result_options import checked_caching, checked_results, checked_transaction_hooks
from flows.sdk.retries import Delays, RetryCondition, checked_delays, checked_jitter, checked_retries
from flows.sdk.serializers import Serializer
from flows.sdk.states import State
from flows.sdk.steps import drive, drive_async
from flows.sdk.task_engine import TaskCall
from flows.sdk.timeouts import checked_timeout

if TYPE_CHECKING:
    from flows.sdk.background import BackgroundFuture

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
TH = TypeVar("TH", bound=TransactionHook)


class Task(Generic[P, R]):
    """A function as a task. Made by `@task`; its options are described there."""

    def __init__(
        self,
        fn: Callable[P, R],
        *,
        name: str | None = None,
        description: str | None = None,
        tags: Iterable[str] = (),
        version: str | None = None,
        task_run_name: RunName | None = None,
        retries: int | None = None,
        retry_delay_seconds: Delays | None = None,
        retry_jitter_factor: float | None = None,
        retry_condition_fn: RetryCondition | None = None,
        timeout_seconds: float | None = None,
        log_prints: bool | None = None,
        on_running: Iterable[Hook] | None = None,
        on_completion: Iterable[Hook] | None = None,
        on_failure: Iterable[Hook] | None = None,
        cache_policy: CachePolicy | None = None,
        cache_key_fn: CacheKeyFn | None = None,
        cache_expiration: timedelta | None = None,
        refresh_cache: bool | None = None,
        persist_result: bool | None = None,
        result_storage: ResultStorage | None = None,
        result_storage_key: str | None = None,
        result_serializer: Serializer | str | None = None,
        cache_result_in_memory: bool | None = None,
        viz_return_value: Any = None,
        on_commit: Iterable[TransactionHook] | None = None,
        on_rollback: Iterable[TransactionHook] | None = None,
    ) -> None:
        self._descriptor = fn
        self._read(options.checked_function(fn, "task"))
        self.name = name or self.fn.__name__
        self.description = options.described(self.fn, description)
        self.tags = tuple(tags)
        self.version = version
        self.task_run_name = checked_run_name(task_run_name, "task_run_name")
        self.task_key = options.key_of(self.fn, self.name)
        if retries is None:
            retries = int(options.default_number("TASKS_DEFAULT_RETRIES"))
        if retry_delay_seconds is None:
            retry_delay_seconds = options.default_number("TASKS_DEFAULT_RETRY_DELAY_SECONDS")
        self.retries = checked_retries(retries)
        self.retry_delay_seconds = retry_delay_seconds
        self.retry_delays = checked_delays(retry_delay_seconds, retries)
        self.retry_jitter_factor = checked_jitter(retry_jitter_factor)
        self.retry_condition_fn = retry_condition_fn
        self.timeout_seconds = checked_timeout(timeout_seconds)
        self.log_prints = log_prints
        self.on_running_hooks = checked_hooks(on_running, "on_running", "task")
        self.on_completion_hooks = checked_hooks(on_completion, "on_completion", "task")
        self.on_failure_hooks = checked_hooks(on_failure, "on_failure", "task")
        checked_caching(cache_policy, cache_key_fn, cache_expiration)
        checked_results(result_storage, result_serializer)
        self.cache_policy = cache_policy
        self.cache_key_fn = cache_key_fn
        self.cache_expiration = cache_expiration
        self.refresh_cache = refresh_cache
        self.persist_result = persist_result
        self.result_storage = result_storage
        self.result_storage_key = result_storage_key
        self.result_serializer = result_serializer
        self.cache_result_in_memory = cache_result_in_memory
        self.viz_return_value = viz_return_value
        self.on_commit_hooks = checked_transaction_hooks(on_commit, "on_commit")
        self.on_rollback_hooks = checked_transaction_hooks(on_rollback, "on_rollback")
        if log_prints:
            logs.capture_prints()

    def _read(self, fn: Callable[..., Any]) -> None:
        update_wrapper(self, fn)
        self.fn = fn
        self.is_async = options.is_async(fn)
        self.is_generator = options.is_generator(fn)
        self.__signature__ = inspect.signature(fn)
        self._names = options.positional_names(self.__signature__)

    def with_options(self, **changes: Any) -> "Task[P, R]":
        """A copy of the task with other options. What is given as None stays as it is."""
        return Task(self._descriptor, **options.changed(self._options(), changes))

    def _options(self) -> dict[str, Any]:
        names = inspect.signature(Task.__init__).parameters.keys() - {"self", "fn"}
        return {name: getattr(self, f"{name}_hooks" if name.startswith("on_") else name) for name in names}

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type | None = None) -> "Task[..., R]": ...

    def __get__(self, instance: object | None, owner: type | None = None) -> Any:
        """A task that is looked up on an instance or class is bound to it, as a function would be."""
        fn = options.bound(self._descriptor, instance, owner)
        if fn is self.fn:
            return self
        method = copy.copy(self)
        method._descriptor = fn
        method._read(fn)
        return method

    def on_commit(self, fn: TH) -> TH:
        """Decorator: call `fn(transaction)` when the transaction that this task ran in commits."""
        self.on_commit_hooks.append(fn)
        return fn

    def on_rollback(self, fn: TH) -> TH:
        """Decorator: call `fn(transaction)` when the transaction that this task ran in rolls back."""
        self.on_rollback_hooks.append(fn)
        return fn

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the task here and return its result (a coroutine or generator, if the function is one).

        `wait_for=[futures]` lets others finish first; `return_state=True` returns the final state
        instead of the result, also when the task failed.
        """
        wait_for, return_state = options.call_options(kwargs)
        if drawing := current_drawing.get():
            inputs = (*args, *wait_for)
            return cast(
                R, drawn_call(drawing, self.name, inputs, kwargs, self.viz_return_value, self.is_async)
            )
        if self.is_generator:
            return cast(R, self._items(args, kwargs, wait_for, return_state))
        if self.is_async:
            return cast(R, self._finished(args, kwargs, wait_for, return_state))
        state = drive(TaskCall(self, args, kwargs, wait_for).steps())
        return cast(R, state if return_state else state.result())

    async def _finished(self, args: Any, kwargs: Any, wait_for: Any, return_state: bool) -> Any:
        state = await drive_async(TaskCall(self, args, kwargs, wait_for).steps())
        return state if return_state else state.result()

    def _items(self, args: Any, kwargs: Any, wait_for: Any, return_state: bool) -> Any:
        if return_state:
            options.refuse_state(f"Task {self.name!r}")
        steps = TaskCall(self, args, kwargs, wait_for, streams=True).steps()
        return (stream_async if self.is_async else stream)(steps, State.result)

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
        wait_for, return_state = options.call_options(kwargs)
        if drawing := current_drawing.get():
            return drawing.note(self.name, [*args, *wait_for, *kwargs.values()], self.viz_return_value)
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
        wait_for, return_state = options.call_options(kwargs)
        if current_drawing.get():
            refuse_map(self.name)
        flow = self._surrounding_flow()
        wait_for = (*wait_for, *futures_among(args), *futures_among(kwargs.values()))
        names = [*range(len(args)), *kwargs]
        values = [*args, *kwargs.values()]
        futures: FutureList[Any] = FutureList()
        for row in zip(*columns(names, values), strict=True):
            positional, named = row[: len(args)], dict(zip(kwargs, row[len(args) :], strict=True))
            futures.append(self._submit(flow, positional, named, wait_for))
        if not return_state:
            return futures
        futures.wait()
        return [future.state for future in futures]

    def delay(self, *args: Any, **kwargs: Any) -> "BackgroundFuture[Any]":
        """Have the task run in the background, and return its future at once: `apply_async` with plain
        arguments."""
        return self.apply_async(args, kwargs)

    def apply_async(
        self,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        wait_for: Iterable[Any] = (),
        queue: str = "default",
    ) -> "BackgroundFuture[Any]":
        """Have the task run in the background: in a process that serves it, or an agent of `queue`.

        Futures among the arguments, and in `wait_for`, are waited for. Raises TypeError for arguments that
        do not fit, cannot be packed or are more than 2 MiB, and NoPortalError without a Portal.
        """
        from flows.sdk.background import sent

        return sent(self, tuple(args or ()), kwargs or {}, wait_for, queue)

    def serve(self, limit: int | None = 10) -> None:
        """Run the background calls of this task in this process until it is stopped; see
        `flows.task_worker.serve`."""
        from flows.sdk.task_worker import serve

        serve(self, limit=limit)

    def arguments(self, args: Iterable[Any], kwargs: Any) -> dict[str, Any]:
        """Arguments by name, defaults included. Raises TypeError if they do not fit the function."""
        bound = self.__signature__.bind(*args, **kwargs)
        bound.apply_defaults()
        return dict(bound.arguments)

    def named(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """As `arguments`, without defaults and unchecked: in a tenth of the time."""
        last = len(self._names) - 1
        if len(args) > last + 1:  # those from the last on belong to `*args`
            args = [*args[:last], tuple(args[last:])]
        return {**dict(zip(self._names, args, strict=False)), **kwargs}

    def on_running(self, fn: H) -> H:
        """Decorator: call `fn(task, task_run, state)` when a try of a task run begins."""
        self.on_running_hooks.append(fn)
        return fn

    def on_completion(self, fn: H) -> H:
        """Decorator: call `fn(task, task_run, state)` after a task run has completed."""
        self.on_completion_hooks.append(fn)
        return fn

    def on_failure(self, fn: H) -> H:
        """Decorator: call `fn(task, task_run, state)` after a task run has failed, retries included."""
        self.on_failure_hooks.append(fn)
        return fn

    def _surrounding_flow(self) -> FlowRunContext:
        flow = current_flow.get()
        if flow is None:
            raise RuntimeError(
                f"Task {self.name!r} can only be submitted inside a flow. "
                f"Call it directly, {self.name}(...), or from a function with @flow."
            )
        return flow

    def _submit(self, flow: FlowRunContext, args: Any, kwargs: Any, wait_for: Any) -> TaskFuture[Any]:
        return flow.runner.submit(TaskCall(self, args, kwargs, wait_for))

    def __repr__(self) -> str:
        return f"Task({self.name!r})"


@overload
def task(fn: Callable[P, R], /) -> Task[P, R]: ...


@overload
def task(
    *,
    name: str | None = None,
    description: str | None = None,
    tags: Iterable[str] = (),
    version: str | None = None,
    task_run_name: RunName | None = None,
    retries: int | None = None,
    retry_delay_seconds: Delays | None = None,
    retry_jitter_factor: float | None = None,
    retry_condition_fn: RetryCondition | None = None,
    timeout_seconds: float | None = None,
    log_prints: bool | None = None,
    on_running: Iterable[Hook] | None = None,
    on_completion: Iterable[Hook] | None = None,
    on_failure: Iterable[Hook] | None = None,
    cache_policy: CachePolicy | None = None,
    cache_key_fn: CacheKeyFn | None = None,
    cache_expiration: timedelta | None = None,
    refresh_cache: bool | None = None,
    persist_result: bool | None = None,
    result_storage: ResultStorage | None = None,
    result_storage_key: str | None = None,
    result_serializer: Serializer | str | None = None,
    cache_result_in_memory: bool | None = None,
    viz_return_value: Any = None,
    on_commit: Iterable[TransactionHook] | None = None,
    on_rollback: Iterable[TransactionHook] | None = None,
) -> Callable[[Callable[P, R]], Task[P, R]]: ...


def task(fn: Any = None, /, **options: Any) -> Any:
    """Make a function a task: `@task` or `@task(retries=3, ...)`. Methods and generators may be tasks, too.

    name: shown for its task runs; default: the function's name.
    description: default: the docstring.
    tags: for each of its task runs, beside those of a surrounding `tags()` block.
    version: any text.
    task_run_name: template over the arguments, such as "load-{year}", or a function that returns the name,
        with no argument or one named `parameters`; default: name and call number.
    retries: how often to try again after a failure. Default: PORTAL_TASKS_DEFAULT_RETRIES, else 0.
    retry_delay_seconds: how long to wait before each: a number, a list of up to 50 (the last one is used
        again for further retries), or a function of the number of retries that returns such a list, as
        `exponential_backoff(backoff_factor=10)`. Default: PORTAL_TASKS_DEFAULT_RETRY_DELAY_SECONDS, else 0.
    retry_jitter_factor: vary each delay at random by up to this fraction; 1 is from nothing to double.
    retry_condition_fn: asked with (task, task_run, state) after a failure; False: do not try again. It may
        be a coroutine function.
    timeout_seconds: a try that takes longer ends as TimedOut, a failure (see `flows.sdk.timeouts`).
    log_prints: write what `print` shows to the run's log; None: as the flow does.
    on_running, on_completion, on_failure: functions to call with (task, task_run, state); see the
        decorators of the same names.
    cache_policy: what must be equal for calls to share a result, such as `INPUTS + TASK_SOURCE`; None: with
        `persist_result=True`, `DEFAULT` (inputs, code, flow run); else only retries of the flow reuse them.
    cache_key_fn: function of context and parameters that returns the cache key; goes before `cache_policy`.
    cache_expiration: how long a result may be reused (timedelta); None: for ever.
    refresh_cache: True computes anew and replaces what is kept; None: as `PORTAL_TASKS_REFRESH_CACHE` says.
    persist_result: keep results; None: as the flow, else as `PORTAL_RESULTS_PERSIST_BY_DEFAULT` says, else
        agents keep them for retries.
    result_storage: where results are kept: a folder, a URL (s3://..., by fsspec), a block that holds files
        (`flows.filesystems`) or "TYPE/NAME" of a saved one; None: as the flow, else with the run.
    result_storage_key: template such as "{parameters[day]}.pickle" that is the cache key and the file's name.
    result_serializer: "pickle" (default), "json", "compressed/pickle", "compressed/json", or one of your own.
    cache_result_in_memory: False keeps no result of a submitted task in memory once it is stored: its future
        reads it when it is asked; None: as the flow, else True.
    viz_return_value: what the task returns in `flow.visualize()`, where it is not run.
    on_commit, on_rollback: functions to call with the transaction when it commits or rolls back.

    Raises ValueError for a number that is negative, and TypeError for an option of a wrong kind.
    """
    if fn is None:
        return lambda function: Task(function, **options)
    return Task(fn, **options)
