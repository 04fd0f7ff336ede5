"""Functions that people call from sync and from async code alike: one core of steps, either driver."""

from collections.abc import Callable
from typing import Any, TypeVar

from flows.sdk.context import current_flow, current_task
from flows.sdk.steps import Steps, drive, drive_async

R = TypeVar("R")


class Ask:
    """Call something of ours that may block, such as a database. Async code does not wait for it."""

    __slots__ = ("args", "fn")

    def __init__(self, fn: Callable[..., Any], *args: Any) -> None:
        self.fn = fn
        self.args = args

    def run(self) -> Any:
        return self.fn(*self.args)

    async def run_async(self) -> Any:
        import asyncio

        return await asyncio.to_thread(self.fn, *self.args)


def asked(fn: Callable[..., Any], *args: Any) -> Steps[Any]:
    """The steps of a single question."""
    return (yield Ask(fn, *args))


def either(steps: Steps[Any]) -> Any:
    """Take the steps now; in async code return a coroutine that does, to be awaited.

    The surrounding task or flow decides, as in Prefect: a sync task of an async flow is sync code,
    although an event loop runs in its thread. Outside runs, a running event loop decides.
    """
    return drive_async(steps) if _is_async() else drive(steps)


def _is_async() -> bool:
    task, flow = current_task.get(), current_flow.get()
    if task is not None:
        return task.task.is_async
    if flow is not None:
        return flow.flow.is_async
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
