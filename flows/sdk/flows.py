"""Flows: functions whose calls are flow runs."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar, cast, overload

from flows.sdk import logs
from flows.sdk.options import checked_function, checked_retries, described
from flows.sdk.outcome import returned
from flows.sdk.parameters import Parameters
from flows.sdk.runners import ThreadPoolTaskRunner
from flows.sdk.steps import drive, drive_async
from flows.sdk.subflows import called

P = ParamSpec("P")
R = TypeVar("R")


class Flow(Generic[P, R]):
    """A function as a flow. Made by `@flow`; its options are described there."""

    def __init__(
        self,
        fn: Callable[P, R],
        *,
        name: str | None = None,
        description: str | None = None,
        version: str | None = None,
        tags: Iterable[str] = (),
        flow_run_name: str | None = None,
        retries: int = 0,
        retry_delay_seconds: float = 0,
        task_runner: ThreadPoolTaskRunner | None = None,
        validate_parameters: bool = True,
        log_prints: bool | None = None,
    ) -> None:
        checked_function(fn, "flow")
        checked_retries(retries, retry_delay_seconds)
        update_wrapper(self, fn)
        self.fn = fn
        self.name = name or fn.__name__.replace("_", "-")
        self.description = described(fn, description)
        self.version = version
        self.tags = tuple(tags)
        self.flow_run_name = flow_run_name
        self.retries = retries
        self.retry_delay_seconds = retry_delay_seconds
        self.task_runner = task_runner or ThreadPoolTaskRunner()
        self.validate_parameters = validate_parameters
        self.log_prints = log_prints
        self.is_async = inspect.iscoroutinefunction(fn)
        self.parameters = Parameters(fn, f"Flow {self.name!r}")
        if log_prints:
            logs.capture_prints()

    def with_options(self, **options: Any) -> "Flow[P, R]":
        """A copy of the flow with other options."""
        return Flow(self.fn, **{**self._options(), **options})

    def _options(self) -> dict[str, Any]:
        names = inspect.signature(Flow.__init__).parameters.keys() - {"self", "fn"}
        return {name: getattr(self, name) for name in names}

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the flow in this process and return its result (a coroutine, if the function is one).

        Inside another flow this is a subflow. `wait_for=[futures]` lets others finish first;
        `return_state=True` returns the final state instead of the result, also when the flow failed.
        """
        wait_for = kwargs.pop("wait_for", None) or ()
        return_state = bool(kwargs.pop("return_state", False))
        if self.is_async:
            return cast(R, self._call_async(args, kwargs, wait_for, return_state))
        state = drive(called(self, args, kwargs, cast(Any, wait_for)))
        return cast(R, state if return_state else returned(state))

    async def _call_async(self, args: Any, kwargs: Any, wait_for: Any, return_state: bool) -> Any:
        state = await drive_async(called(self, args, kwargs, wait_for))
        return state if return_state else returned(state)

    def checked(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Parameters as the function gets them. Raises ParameterTypeError."""
        if self.validate_parameters:
            return self.parameters.checked(values)
        return self.parameters.with_defaults(values)

    def __repr__(self) -> str:
        return f"Flow({self.name!r})"


@overload
def flow(fn: Callable[P, R], /) -> Flow[P, R]: ...


@overload
def flow(
    *,
    name: str | None = None,
    description: str | None = None,
    version: str | None = None,
    tags: Iterable[str] = (),
    flow_run_name: str | None = None,
    retries: int = 0,
    retry_delay_seconds: float = 0,
    task_runner: ThreadPoolTaskRunner | None = None,
    validate_parameters: bool = True,
    log_prints: bool | None = None,
) -> Callable[[Callable[P, R]], Flow[P, R]]: ...


def flow(fn: Any = None, /, **options: Any) -> Any:
    """Make a function a flow: `@flow` or `@flow(retries=3, ...)`.

    name: default: the function's name with "-" for "_".
    description: default: the docstring.
    version: any text.
    tags: for each of its runs, beside those of a surrounding `tags()` block.
    flow_run_name: template over the parameters, such as "report-{year}"; default: two random words.
    retries: how often to run again after an exception.
    retry_delay_seconds: how long to wait before each.
    task_runner: where submitted tasks run; default: `ThreadPoolTaskRunner()`.
    validate_parameters: convert and check parameters by their annotations.
    log_prints: write what `print` shows to the run's log; tasks inherit it.
    """
    if fn is None:
        return lambda function: Flow(function, **options)
    return Flow(fn, **options)
