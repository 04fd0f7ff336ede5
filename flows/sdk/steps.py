"""One engine for sync and async: engines are generators that yield steps; a driver takes them.

A generator holds every decision; the two drivers below only know how to call, sleep and wait
in their world. Errors of a step are thrown into the generator at the place that yielded it.
"""

from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from flows.sdk.clock import current_clock
from flows.sdk.signals import TerminationSignal

if TYPE_CHECKING:
    import asyncio

    from flows.sdk.futures import TaskFuture

R = TypeVar("R")


class Step(Protocol):
    """Something to do outside the engine. What it returns is sent back into the generator."""

    def run(self) -> Any: ...

    async def run_async(self) -> Any: ...


Steps = Generator[Step, Any, R]


class Call:
    """Call the user's function."""

    __slots__ = ("args", "fn", "kwargs")

    def __init__(self, fn: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        self.fn = fn
        self.args = args
        self.kwargs = kwargs

    def run(self) -> Any:
        return self.fn(*self.args, **self.kwargs)

    async def run_async(self) -> Any:
        return await self.fn(*self.args, **self.kwargs)


class Sleep:
    """Let `seconds` pass."""

    __slots__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def run(self) -> None:
        current_clock.get().sleep(self.seconds)

    async def run_async(self) -> None:
        await current_clock.get().sleep_async(self.seconds)


class Wait:
    """Wait until all of these futures are done, whatever became of them."""

    __slots__ = ("futures",)

    def __init__(self, futures: "Sequence[TaskFuture[Any]]") -> None:
        self.futures = futures

    def run(self) -> None:
        for future in self.futures:
            future.wait()

    async def run_async(self) -> None:
        for future in self.futures:
            await future.wait_async()


def drive(steps: Steps[R]) -> R:
    """Take the steps here and now, and return what the generator returns."""
    try:
        step = next(steps)
        while True:
            try:
                answer = step.run()
            except BaseException as error:
                step = steps.throw(error)
            else:
                step = steps.send(answer)
    except StopIteration as end:
        value: R = end.value
        return value


async def drive_async(steps: Steps[R]) -> R:
    """As `drive`, without blocking the event loop while a step waits."""
    try:
        step = next(steps)
        while True:
            try:
                answer = await step.run_async()
            except BaseException as error:
                step = steps.throw(_reason(error))
            else:
                step = steps.send(answer)
    except StopIteration as end:
        value: R = end.value
        return value


def run_coroutine(coroutine: Coroutine[Any, Any, R]) -> R:
    """Run a coroutine to its end in an event loop of its own, whatever runs in this thread."""
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _run_in_new_loop(coroutine)
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(_run_in_new_loop, coroutine).result()


def _run_in_new_loop(coroutine: Coroutine[Any, Any, R]) -> R:
    import asyncio

    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        task = loop.create_task(coroutine)
        # A signal may hit the loop's own code instead of the coroutine's; it must still reach the engine.
        # While the loop runs a callback, it hands the signal to the exception handler; else it raises it.
        loop.set_exception_handler(partial(_pass_on, task))
        try:
            return loop.run_until_complete(task)
        except (TerminationSignal, KeyboardInterrupt) as signal:
            if task.done():
                raise
            task.cancel(signal)
            return loop.run_until_complete(task)


def _pass_on(task: "asyncio.Task[Any]", loop: "asyncio.AbstractEventLoop", context: dict[str, Any]) -> None:
    signal = context.get("exception")
    if isinstance(signal, TerminationSignal):
        task.cancel(signal)
    else:
        loop.default_exception_handler(context)


def _reason(error: BaseException) -> BaseException:
    """The signal on whose behalf an asyncio task was cancelled (see above), or the error itself."""
    if type(error).__name__ == "CancelledError" and error.args and isinstance(error.args[0], BaseException):
        return error.args[0]
    return error
