"""Which task run made a value: so that `load(clean(extract()))` draws edges, although no future is passed on.

Values are told apart by identity, as in Prefect. The latest are remembered, weakly where Python can. The
others (lists, texts, ...) are held as long as the flow holds them: what it has dropped is let go at the next
result, so that no large result stays in memory for a picture.
"""

from collections.abc import Iterable, Iterator, Mapping
from sys import getrefcount
from typing import Any
from uuid import UUID
from weakref import ref

MOST_VALUES = 8
MOST_ITEMS = 16  # of a collection that is looked into

_OURS_ALONE = 2  # references: the entry's, and the argument of getrefcount
_SMALL_NUMBERS = range(-5, 257)  # Python has each of them once

Entry = tuple[Any, "ref[Any] | None", UUID]  # the value itself, or a weak reference to it; its task run


class Origins:
    """The latest results of one flow run's tasks. Used from many threads."""

    __slots__ = ("_made",)

    def __init__(self) -> None:
        self._made: dict[int, Entry] = {}

    def note(self, value: Any, task_run_id: UUID) -> None:
        """The task run results in `value`."""
        if value is None or isinstance(value, bool) or (type(value) is int and value in _SMALL_NUMBERS):
            return
        made = self._made
        for key, entry in list(made.items()):
            if entry[1] is None and getrefcount(entry[0]) <= _OURS_ALONE:
                made.pop(key, None)
        made.pop(id(value), None)
        if len(made) >= MOST_VALUES:
            made.pop(next(iter(made), 0), None)
        try:
            made[id(value)] = None, ref(value), task_run_id
        except TypeError:
            made[id(value)] = value, None, task_run_id

    def know_any(self, values: Iterable[Any]) -> bool:
        """Whether one of the values, or of what they hold, is perhaps such a result."""
        made = self._made
        return bool(made) and any(
            id(value) in made or any(id(item) in made for item in _items(value)) for value in values
        )

    def edges(self, arguments: Mapping[str, Any]) -> dict[str, list[str]]:
        """Ids of the task runs that each argument came from."""
        found = {name: dict.fromkeys(self._sources(value)) for name, value in arguments.items()}
        return {name: list(sources) for name, sources in found.items() if sources}

    def _sources(self, value: Any) -> Iterator[str]:
        for each in (value, *_items(value)):
            entry = self._made.get(id(each))
            if entry is not None and (entry[1] is None or entry[1]() is each):  # an id may be given away anew
                yield str(entry[2])


def _items(value: Any) -> Iterable[Any]:
    """What is looked into: the items of a short collection."""
    kind = type(value)
    if kind is dict:
        return value.values() if len(value) <= MOST_ITEMS else ()
    return value if kind in (list, tuple, set) and len(value) <= MOST_ITEMS else ()
