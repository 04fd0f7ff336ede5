"""Hooks: functions of the user's that are called when a run enters a state.

A hook gets the flow or task, the run, and the state. It may be a coroutine function. It looks on:
what it returns is dropped, and when it raises, that is logged and changes nothing.
"""

import inspect
from collections.abc import Callable, Iterable, Sequence
from contextvars import Token
from typing import Any, TypeVar

from flows.sdk.logs import RunLogger, logger_of_hook
from flows.sdk.states import State
from flows.sdk.steps import Steps, run_coroutine

Hook = Callable[[Any, Any, State], Any]
H = TypeVar("H", bound=Hook)


def checked_hooks(hooks: Iterable[Hook] | None, option: str, decorator: str) -> list[Hook]:
    """The hooks as a list. Raises TypeError, showing how it is written, for anything else."""
    how = f"Give a list of functions, as in @{decorator}({option}=[notify])."
    if hooks is None:
        return []
    if not isinstance(hooks, Iterable):
        raise TypeError(f"{option} was given {hooks!r}. {how}")
    listed = list(hooks)
    for hook in listed:
        if not callable(hook):
            raise TypeError(f"{option} holds {hook!r}, which cannot be called. {how}")
    return listed


class UserCall:
    """Call a hook or condition (or await it). `get_run_logger()` inside it is the run's."""

    __slots__ = ("args", "fn", "logger")

    def __init__(self, fn: Hook, args: tuple[Any, Any, State], logger: RunLogger) -> None:
        self.fn = fn
        self.args = args
        self.logger = logger

    def run(self) -> Any:
        token = self._enter()
        try:
            answer = self.fn(*self.args)
            return run_coroutine(answer) if inspect.iscoroutine(answer) else answer
        finally:
            logger_of_hook.reset(token)

    async def run_async(self) -> Any:
        token = self._enter()
        try:
            answer = self.fn(*self.args)
            return await answer if inspect.isawaitable(answer) else answer
        finally:
            logger_of_hook.reset(token)

    def _enter(self) -> "Token[RunLogger | None]":
        return logger_of_hook.set(self.logger)


def run_hooks(hooks: Sequence[Hook], subject: Any, run: Any, state: State, logger: RunLogger) -> Steps[None]:
    """Call each hook in turn, whatever the ones before it did."""
    for hook in hooks:
        name = getattr(hook, "__name__", repr(hook))
        logger.info("Running hook %r in response to entering state %r", name, state.name)
        try:
            yield UserCall(hook, (subject, run, state), logger)
        except Exception:
            logger.exception("Hook %r raised an exception; the run stays as it is", name)
        else:
            logger.info("Hook %r finished", name)
