"""Futures and states as inputs: find them, and put their values in their place."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from flows.sdk.futures import TaskFuture
from flows.sdk.states import State

_LEAVES = frozenset({int, float, str, bool, bytes, type(None)})
_COLLECTIONS = (list, tuple, set, dict)

Upstream = TaskFuture[Any] | State


class UpstreamTaskError(RuntimeError):
    """A task run or state that was passed as input did not complete."""


@dataclass(frozen=True, slots=True)
class Unmapped:
    """An argument of `.map` that is not iterated over."""

    value: Any


def unmapped(value: Any) -> Unmapped:
    """Pass `value` whole to every call that `.map` makes."""
    return Unmapped(value)


def upstream_of(values: Iterable[Any]) -> list[Upstream]:
    """All futures and states in `values`, also inside lists, tuples, sets and dicts."""
    found: list[Upstream] = []
    for value in values:
        if type(value) not in _LEAVES:
            _collect(value, found, set())
    return found


def _collect(value: Any, found: list[Upstream], seen: set[int]) -> None:
    if isinstance(value, TaskFuture | State):
        found.append(value)
    elif isinstance(value, _COLLECTIONS):
        items = value.values() if isinstance(value, dict) else value
        # One pass in C tells that there is nothing to look for in a long list of numbers.
        if id(value) not in seen and not _LEAVES.issuperset(map(type, items)):
            seen.add(id(value))  # collections may contain themselves
            for item in items:
                _collect(item, found, seen)


def value_of(source: Upstream) -> Any:
    """The result of an upstream that is over. Raises UpstreamTaskError if it did not complete."""
    state = source.state if isinstance(source, TaskFuture) else source
    if not state.is_completed():
        what = f"Upstream task run {source.name!r}" if isinstance(source, TaskFuture) else "Upstream run"
        raise UpstreamTaskError(f"{what} did not complete: it is {state}.")
    return state.result()


def resolved(value: Any) -> Any:
    """`value` with results in the place of futures and states. What holds none is not copied."""
    if isinstance(value, TaskFuture | State):
        return value_of(value)
    return _rebuilt(value, resolved) if upstream_of((value,)) else value


def as_states(value: Any) -> Any:
    """`value` with states in the place of futures."""
    if isinstance(value, TaskFuture):
        return value.state
    return _rebuilt(value, as_states) if upstream_of((value,)) else value


def _rebuilt(value: Any, convert: Any) -> Any:
    if isinstance(value, dict):
        return {key: convert(item) for key, item in value.items()}
    if isinstance(value, _COLLECTIONS):
        items = [convert(item) for item in value]
        if hasattr(value, "_fields"):  # a named tuple takes its items one by one
            return type(value)(*items)
        return items if isinstance(value, list) else type(value)(items)
    return value
