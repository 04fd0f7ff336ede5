"""The arguments of `task.map()`: a row of them for each call."""

from collections.abc import Iterable
from typing import Any

from flows.sdk.annotations import Annotation, Unmapped
from flows.sdk.futures import TaskFuture
from flows.sdk.inputs import resolved


class MappingLengthMismatch(ValueError):
    """The iterables that were given to `map` are not equally long."""


class MappingMissingIterable(ValueError):
    """Nothing that was given to `map` can be iterated over."""


def futures_among(values: Iterable[Any]) -> list[TaskFuture[Any]]:
    return [value for value in values if isinstance(value, TaskFuture)]


def columns(names: list[Any], values: list[Any]) -> list[list[Any]]:
    """One list per argument, all equally long: a column per argument, a row per call."""
    values = [_iterated(value) for value in values]
    lengths = {name: len(v) for name, v in zip(names, values, strict=True) if isinstance(v, list)}
    if not lengths:
        raise MappingMissingIterable("map() needs at least one argument to iterate over, such as a list.")
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name}: {length}" for name, length in lengths.items())
        raise MappingLengthMismatch(f"map() needs iterables of the same length, but these differ ({told}).")
    count = next(iter(lengths.values()))
    return [v if isinstance(v, list) else [_whole(v)] * count for v in values]


def _whole(value: Any) -> Any:
    return value.value if isinstance(value, Unmapped) else value


def _iterated(value: Any) -> Any:
    """An iterable argument as a list; a future of one is waited for. A mark on it goes to each item."""
    if isinstance(value, Unmapped):
        return value
    if isinstance(value, Annotation):
        items = _iterated(value.value)
        return [value.rewrap(item) for item in items] if isinstance(items, list) else value
    if isinstance(value, TaskFuture):
        value.wait()
        value = resolved(value)
    if isinstance(value, str | bytes | dict) or not hasattr(value, "__iter__"):
        return value
    return list(value)
