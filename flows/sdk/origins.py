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
_COLLECTIONS = frozenset({list, tuple, set, dict})
_BUILTINS = frozenset({list, tuple, dict, str, bytes, int, float})  # quicker than to ask the type
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
        made[id(value)] = (value, None, task_run_id) if _is_strong(value) else (None, ref(value), task_run_id)

    def know_any(self, values: Iterable[Any]) -> bool:
        """Whether one of the values, or of what they hold, is perhaps such a result."""
        made = self._made
        if not made:
            return False
        for value in values:
            if id(value) in made:
                return True
            if type(value) in _COLLECTIONS and not made.keys().isdisjoint(map(id, _items(value))):
                return True
        return False

    def edges(self, arguments: Mapping[str, Any]) -> dict[str, list[str]]:
        """Ids of the task runs that each argument came from."""
        found = {name: dict.fromkeys(self._sources(value)) for name, value in arguments.items()}
        return {name: list(sources) for name, sources in found.items() if sources}

    def _sources(self, value: Any) -> Iterator[str]:
        for each in (value, *_items(value)):
            entry = self._made.get(id(each))
            if entry is not None and (entry[1] is None or entry[1]() is each):  # an id may be given away anew
                yield str(entry[2])


def _is_strong(value: Any) -> bool:
    """Whether Python cannot refer to the value weakly."""
    return type(value) in _BUILTINS or not type(value).__weakrefoffset__


def _items(value: Any) -> Iterable[Any]:
    """What is looked into: the items of a short collection."""
    if type(value) not in _COLLECTIONS or len(value) > MOST_ITEMS:
        return ()
    return value.values() if isinstance(value, dict) else value
