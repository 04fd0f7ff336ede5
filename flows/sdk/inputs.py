"""Futures and states as inputs: find them, and put their values in their place."""

from collections.abc import Callable, Iterable
from typing import Any

from flows.sdk.annotations import AllowFailure, Annotation, Opaque, Quote
from flows.sdk.futures import TaskFuture
from flows.sdk.states import State

_LEAVES = frozenset({int, float, str, bool, bytes, type(None)})
_COLLECTIONS = (list, tuple, set, dict)

Source = TaskFuture[Any] | State


class UpstreamTaskError(RuntimeError):
    """A task run or state that was passed as input did not complete."""


def upstream_of(values: Iterable[Any]) -> list[Source]:
    """All futures and states in `values`, also inside annotations, lists, tuples, sets and dicts."""
    return [found for found in replaceable(values) if isinstance(found, TaskFuture | State)]


def futures_of(values: Iterable[Any]) -> list[TaskFuture[Any]]:
    """As `upstream_of`, the futures alone."""
    return [found for found in replaceable(values) if isinstance(found, TaskFuture)]


def replaceable(values: Iterable[Any]) -> list[Source | Annotation[Any]]:
    """All that `resolved` would replace: futures, states and annotations."""
    found: list[Source | Annotation[Any]] = []
    for value in values:
        if type(value) not in _LEAVES:
            _collect(value, found, set())
    return found


def _collect(value: Any, found: list[Source | Annotation[Any]], seen: set[int]) -> None:
    if isinstance(value, TaskFuture | State):
        found.append(value)
    elif isinstance(value, Annotation):
        found.append(value)
        if _is_opened(value):
            _collect(value.value, found, seen)
    elif isinstance(value, _COLLECTIONS):
        items = value.values() if isinstance(value, dict) else value
        # One pass in C tells that there is nothing to look for in a long list of numbers.
        if id(value) not in seen and not _LEAVES.issuperset(map(type, items)):
            seen.add(id(value))  # collections may contain themselves
            for item in items:
                _collect(item, found, seen)


def _is_opened(marked: Annotation[Any]) -> bool:
    """Whether futures are looked for in the value."""
    if isinstance(marked, Opaque):
        return isinstance(marked.value, TaskFuture | State)
    return not isinstance(marked, Quote)


def value_of(source: Source) -> Any:
    """The result of an upstream that is over. Raises UpstreamTaskError if it did not complete."""
    state = _state_of(source)
    if not state.is_completed():
        what = f"Upstream task run {source.name!r}" if isinstance(source, TaskFuture) else "Upstream run"
        raise UpstreamTaskError(f"{what} did not complete: it is {state}.")
    return state.result()


def outcome_of(source: Source) -> Any:
    """The result of an upstream that is over, or the exception that it ended with."""
    try:
        return _state_of(source).result()
    except BaseException as error:  # also what it was crashed by: it is a value here
        return error


def _state_of(source: Source) -> State:
    return source.state if isinstance(source, TaskFuture) else source


def resolved(value: Any, result: Callable[[Source], Any] = value_of) -> Any:
    """`value` with results in the place of futures and states. What holds none is not copied.

    Raises UpstreamTaskError if one did not complete and was not marked with `allow_failure`.
    """
    if isinstance(value, TaskFuture | State):
        return result(value)
    if isinstance(value, Annotation):
        return _unmarked(value, result)
    return _rebuilt(value, lambda item: resolved(item, result)) if replaceable((value,)) else value


def _unmarked(marked: Annotation[Any], result: Callable[[Source], Any]) -> Any:
    value = marked.value
    if isinstance(marked, Quote) or (
        isinstance(marked, Opaque) and not isinstance(value, TaskFuture | State)
    ):
        return value
    return resolved(value, outcome_of if isinstance(marked, AllowFailure) else result)


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


def resolve_futures_to_results(expr: Any) -> Any:
    """`expr` with results in the place of futures and states, also within collections. Waits for them.

    Raises as `resolved`.
    """
    for future in futures_of((expr,)):
        future.wait()
    return resolved(expr)


def resolve_futures_to_states(expr: Any) -> Any:
    """As `resolve_futures_to_results`, with final states."""
    for future in futures_of((expr,)):
        future.wait()
    return as_states(expr)
