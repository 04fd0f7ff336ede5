"""Flows and tasks that are generator functions: their runs last from the first item to the last.

The caller gets the items one by one. A run without such a caller (submitted, or claimed by an agent) results
in the list of them.
"""

from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextvars import copy_context
from typing import Any, Final

from flows.sdk.steps import Call, Steps
from flows.sdk.timeouts import Limit, limited

_END: Final = object()


class _CallerLeft(BaseException):
    """The caller stopped asking for items. (GeneratorExit itself would close the engine's generators.)"""


class _Next:
    """Get the next item of a generator, or `_END`."""

    __slots__ = ("items",)

    def __init__(self, items: Any) -> None:
        self.items = items

    def run(self) -> Any:
        return next(self.items, _END)

    async def run_async(self) -> Any:
        return await anext(self.items, _END)


class _Close:
    """Let a generator end before its last item."""

    __slots__ = ("items",)

    def __init__(self, items: Any) -> None:
        self.items = items

    def run(self) -> None:
        self.items.close()

    async def run_async(self) -> None:
        await self.items.aclose()


class Emit:
    """Hand an item to the caller; where there is none, keep it in `kept`."""

    __slots__ = ("item", "kept")

    def __init__(self, item: Any, kept: list[Any]) -> None:
        self.item = item
        self.kept = kept

    def run(self) -> None:
        self.kept.append(self.item)

    async def run_async(self) -> None:
        self.kept.append(self.item)


def body(
    fn: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    limit: Limit | None,
    is_generator: bool,
) -> Steps[Any]:
    """Call the user's function, and see a generator to its end. Returns its value, or the kept items.

    A caller that stops asking (`break`) ends the generator; that is no failure.
    """
    if not is_generator:
        return (yield limited(Call(fn, args, kwargs), limit))
    items = fn(*args, **kwargs)
    kept: list[Any] = []
    try:
        while (item := (yield limited(_Next(items), limit))) is not _END:
            yield Emit(item, kept)
    except _CallerLeft:
        yield _Close(items)
    return kept


def stream(steps: Steps[Any], finish: Callable[[Any], object]) -> Generator[Any, None, None]:
    """Take the steps and yield what they emit; `finish` gets what they return, and may raise.

    The steps keep a context of their own: the caller's code between two items is not part of the run.
    """
    context = copy_context()
    try:
        step = context.run(next, steps)
        while True:
            try:
                answer = (yield step.item) if isinstance(step, Emit) else context.run(step.run)
            except GeneratorExit:
                step = context.run(steps.throw, _CallerLeft())
            except BaseException as error:
                step = context.run(steps.throw, error)
            else:
                step = context.run(steps.send, answer)
    except StopIteration as end:
        state = end.value
    finish(state)


async def stream_async(steps: Steps[Any], finish: Callable[[Any], object]) -> AsyncGenerator[Any, None]:
    """As `stream`, for an async generator."""
    import asyncio

    context = copy_context()
    loop = asyncio.get_running_loop()
    try:
        step = context.run(next, steps)
        while True:
            try:
                if isinstance(step, Emit):
                    yield step.item
                    answer = None
                else:
                    answer = await loop.create_task(_awaited(step), context=context)
            except GeneratorExit:
                step = context.run(steps.throw, _CallerLeft())
            except BaseException as error:
                step = context.run(steps.throw, error)
            else:
                step = context.run(steps.send, answer)
    except StopIteration as end:
        state = end.value
    finish(state)


async def _awaited(step: Any) -> Any:
    return await step.run_async()
