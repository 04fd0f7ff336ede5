"""Flows: functions whose calls are flow runs."""

import copy
import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import update_wrapper
from typing import Any, Generic, ParamSpec, Self, TypeVar, cast, overload

from flows.sdk import logs, options
from flows.sdk.deployable import Deployable
from flows.sdk.drawing import Drawing, current_drawing, drawn, drawn_call
from flows.sdk.generators import stream, stream_async
from flows.sdk.hooks import H, Hook, checked_hooks
from flows.sdk.names import RunName, checked_run_name
from flows.sdk.outcome import returned
from flows.sdk.parameters import Parameters
from flows.sdk.result_files import ResultStorage
from flows.sdk.result_options import checked_results
from flows.sdk.retries import checked_delays, checked_retries
from flows.sdk.runners import ThreadPoolTaskRunner, checked_runner
from flows.sdk.serializers import Serializer
from flows.sdk.steps import drive, drive_async, run_coroutine
from flows.sdk.subflows import called
from flows.sdk.timeouts import checked_timeout

P = ParamSpec("P")
R = TypeVar("R")


class Flow(Deployable, Generic[P, R]):
    """A function as a flow. Made by `@flow`; its options are described there."""

    def __init__(
        self,
        fn: Callable[P, R],
        *,
        name: str | None = None,
        version: str | None = None,
        description: str | None = None,
        tags: Iterable[str] = (),
        flow_run_name: RunName | None = None,
        retries: int | None = None,
        retry_delay_seconds: float | None = None,
        crash_retries: int = 0,
        crash_retry_delay_seconds: float = 0,
        timeout_seconds: float | None = None,
        task_runner: ThreadPoolTaskRunner | type[ThreadPoolTaskRunner] | None = None,
        validate_parameters: bool = True,
        log_prints: bool | None = None,
        on_running: Iterable[Hook] | None = None,
        on_completion: Iterable[Hook] | None = None,
        on_failure: Iterable[Hook] | None = None,
        on_cancellation: Iterable[Hook] | None = None,
        on_crashed: Iterable[Hook] | None = None,
        persist_result: bool | None = None,
        result_storage: ResultStorage | None = None,
        result_serializer: Serializer | str | None = None,
        cache_result_in_memory: bool | None = None,
    ) -> None:
        self._descriptor = fn
        self._read(options.checked_function(fn, "flow"))
        self.name = name or self.fn.__name__.replace("_", "-")
        self.parameters = Parameters(self.fn, f"Flow {self.name!r}")
        self.source: tuple[str, str] | None = None  # where `from_source` found it: folder, entrypoint
        self.description = options.described(self.fn, description)
        self._version = version
        self.tags = tuple(tags)
        self.flow_run_name = checked_run_name(flow_run_name, "flow_run_name")
        if retries is None:
            retries = int(options.default_number("FLOWS_DEFAULT_RETRIES"))
        if retry_delay_seconds is None:
            retry_delay_seconds = options.default_number("FLOWS_DEFAULT_RETRY_DELAY_SECONDS")
        self.retries = checked_retries(retries)
        (self.retry_delay_seconds,) = checked_delays(float(retry_delay_seconds), retries)
        self.crash_retries = checked_retries(crash_retries)
        (self.crash_retry_delay_seconds,) = checked_delays(float(crash_retry_delay_seconds), crash_retries)
        self.timeout_seconds = checked_timeout(timeout_seconds)
        self.task_runner = checked_runner(task_runner)
        self.validate_parameters = validate_parameters
        self.log_prints = log_prints
        self.on_running_hooks = checked_hooks(on_running, "on_running", "flow")
        self.on_completion_hooks = checked_hooks(on_completion, "on_completion", "flow")
        self.on_failure_hooks = checked_hooks(on_failure, "on_failure", "flow")
        self.on_cancellation_hooks = checked_hooks(on_cancellation, "on_cancellation", "flow")
        self.on_crashed_hooks = checked_hooks(on_crashed, "on_crashed", "flow")
        checked_results(result_storage, result_serializer)
        self.persist_result = persist_result
        self.result_storage = result_storage
        self.result_serializer = result_serializer
        self.cache_result_in_memory = cache_result_in_memory
        if log_prints:
            logs.capture_prints()

    def _read(self, fn: Callable[..., Any]) -> None:
        update_wrapper(self, fn)
        self.fn = fn
        self.is_async = options.is_async(fn)
        self.is_generator = options.is_generator(fn)
        self.__signature__ = inspect.signature(fn)

    @property
    def version(self) -> str | None:
        """As given; else a hash of the file that holds the function."""
        return options.file_version(self.fn) if self._version is None else self._version

    def with_options(self, **changes: Any) -> "Flow[P, R]":
        """A copy of the flow with other options. What is given as None stays as it is."""
        changed = Flow(self._descriptor, **options.changed(self._options(), changes))
        changed.source = self.source
        return changed

    def _options(self) -> dict[str, Any]:
        names = inspect.signature(Flow.__init__).parameters.keys() - {"self", "fn"}
        kept = {name: getattr(self, f"{name}_hooks" if name.startswith("on_") else name) for name in names}
        return {**kept, "version": self._version}

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type | None = None) -> "Flow[..., R]": ...

    def __get__(self, instance: object | None, owner: type | None = None) -> Any:
        """A flow that is looked up on an instance or class is bound to it, as a function would be."""
        fn = options.bound(self._descriptor, instance, owner)
        if fn is self.fn:
            return self
        method = copy.copy(self)
        method._descriptor = fn
        method._read(fn)
        method.parameters = Parameters(fn, f"Flow {self.name!r}")
        return method

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the flow here and return its result (a coroutine or generator, if the function is one).

        Inside another flow this is a subflow. `wait_for=[futures]` lets others finish first;
        `return_state=True` returns the final state instead of the result, also when the flow failed.
        """
        wait_for, return_state = options.call_options(cast(dict[str, Any], kwargs))
        if drawing := current_drawing.get():
            inputs = (*args, *wait_for)
            return cast(R, drawn_call(drawing, self.name, inputs, kwargs, None, self.is_async))
        steps = called(self, args, kwargs, wait_for)
        if self.is_generator:
            if return_state:
                options.refuse_state(f"Flow {self.name!r}")
            return cast(R, stream_async(steps, returned) if self.is_async else stream(steps, returned))
        if self.is_async:
            return cast(R, self._finished(steps, return_state))
        state = drive(steps)
        return cast(R, state if return_state else returned(state))

    async def _finished(self, steps: Any, return_state: bool) -> Any:
        state = await drive_async(steps)
        return state if return_state else returned(state)

    def visualize(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """The graph of what the flow would do with these arguments, in DOT, the language of Graphviz.

        The flow's own code runs, its tasks and subflows do not: each gives a stand-in, or what its option
        `viz_return_value` says. Raises FlowVisualizationError where the code cannot go on with that, and
        VisualizationUnsupportedError for `.map()`.
        """
        return self._drawn(args, kwargs).as_dot(self.name)

    async def avisualize(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """As `visualize`."""
        return (await self._adrawn(args, kwargs)).as_dot(self.name)

    def generate_mermaid_graph(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """As `visualize`, as a flowchart in Mermaid, which Markdown artifacts and GitHub show."""
        return self._drawn(args, kwargs).as_mermaid()

    async def agenerate_mermaid_graph(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """As `generate_mermaid_graph`."""
        return (await self._adrawn(args, kwargs)).as_mermaid()

    def _drawn(self, args: Any, kwargs: Any) -> Drawing:
        steps = drawn(self.fn, args, kwargs)
        return run_coroutine(drive_async(steps)) if self.is_async else drive(steps)

    async def _adrawn(self, args: Any, kwargs: Any) -> Drawing:
        steps = drawn(self.fn, args, kwargs)
        return await drive_async(steps) if self.is_async else drive(steps)

    def checked(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Parameters as the function gets them. Raises ParameterTypeError."""
        if self.validate_parameters:
            return self.parameters.checked(values)
        return self.parameters.with_defaults(values)

    def on_running(self, fn: H) -> H:
        """Decorator: call `fn(flow, flow_run, state)` when a try of a run begins."""
        self.on_running_hooks.append(fn)
        return fn

    def on_completion(self, fn: H) -> H:
        """Decorator: call `fn(flow, flow_run, state)` after a run has completed."""
        self.on_completion_hooks.append(fn)
        return fn

    def on_failure(self, fn: H) -> H:
        """Decorator: call `fn(flow, flow_run, state)` after a run has failed, retries included."""
        self.on_failure_hooks.append(fn)
        return fn

    def on_cancellation(self, fn: H) -> H:
        """Decorator: call `fn(flow, flow_run, state)` while a run is being cancelled.

        It runs in the run's process, within the grace time that follows the wish to cancel.
        """
        self.on_cancellation_hooks.append(fn)
        return fn

    def on_crashed(self, fn: H) -> H:
        """Decorator: call `fn(flow, flow_run, state)` after a run has crashed.

        It runs in the run's process. Where that was killed, nobody is left to call it; the agent logs so.
        """
        self.on_crashed_hooks.append(fn)
        return fn

    def __repr__(self) -> str:
        return f"Flow({self.name!r})"


@overload
def flow(fn: Callable[P, R], /) -> Flow[P, R]: ...


@overload
def flow(
    *,
    name: str | None = None,
    version: str | None = None,
    description: str | None = None,
    tags: Iterable[str] = (),
    flow_run_name: RunName | None = None,
    retries: int | None = None,
    retry_delay_seconds: float | None = None,
    crash_retries: int = 0,
    crash_retry_delay_seconds: float = 0,
    timeout_seconds: float | None = None,
    task_runner: ThreadPoolTaskRunner | type[ThreadPoolTaskRunner] | None = None,
    validate_parameters: bool = True,
    log_prints: bool | None = None,
    on_running: Iterable[Hook] | None = None,
    on_completion: Iterable[Hook] | None = None,
    on_failure: Iterable[Hook] | None = None,
    on_cancellation: Iterable[Hook] | None = None,
    on_crashed: Iterable[Hook] | None = None,
    persist_result: bool | None = None,
    result_storage: ResultStorage | None = None,
    result_serializer: Serializer | str | None = None,
    cache_result_in_memory: bool | None = None,
) -> Callable[[Callable[P, R]], Flow[P, R]]: ...


def flow(fn: Any = None, /, **options: Any) -> Any:
    """Make a function a flow: `@flow` or `@flow(retries=3, ...)`. Methods and generators may be flows, too.

    name: default: the function's name with "-" for "_".
    version: any text; default: a hash of the file that holds the function.
    description: default: the docstring.
    tags: for each of its runs, beside those of a surrounding `tags()` block.
    flow_run_name: template over the parameters, such as "report-{year}", or a function that returns the
        name, with no argument or one named `parameters`; default: two random words.
    retries: how often to run again after a failure. Finished tasks are not computed again.
        Default: PORTAL_FLOWS_DEFAULT_RETRIES, else 0.
    retry_delay_seconds: how long to wait before each.
        Default: PORTAL_FLOWS_DEFAULT_RETRY_DELAY_SECONDS, else 0.
    crash_retries: how often to run again after a crash (its process or agent was killed), in an agent only.
    crash_retry_delay_seconds: how long to wait before each.
    timeout_seconds: a try that takes longer ends as TimedOut, a failure (see `flows.sdk.timeouts`).
    task_runner: where submitted tasks run (`flows.task_runners`); default: `ThreadPoolTaskRunner()`.
    validate_parameters: convert and check parameters by their annotations.
    log_prints: write what `print` shows to the run's log; tasks and subflows inherit it.
        Default: PORTAL_LOGGING_LOG_PRINTS, else no.
    on_running, on_completion, on_failure, on_cancellation, on_crashed: functions to call with
        (flow, flow_run, state); see the decorators of the same names.
    persist_result, result_storage, result_serializer, cache_result_in_memory: for its tasks, where they do
        not say otherwise.

    Raises ValueError for a number that is negative, and TypeError for an option of a wrong kind.
    """
    if fn is None:
        return lambda function: Flow(function, **options)
    return Flow(fn, **options)


vars(flow).update(from_source=Flow.from_source)  # as Prefect's users write it: flow.from_source(...)
