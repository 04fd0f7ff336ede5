"""Following a table that grows: each row once, although transactions commit out of order.

A row may become visible later than others that stand behind it: its transaction began earlier, or its
clock goes after. So each look goes back over what was seen, and leaves out the rows that were given before.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

Key = tuple[datetime, UUID]
Rows = list[dict[str, Any]]

NEAR, FAR = timedelta(seconds=1), timedelta(seconds=15)  # no transaction of Portal's lasts longer
MOST_AT_ONCE = 1000


class Tail:
    """Gives the rows that came since the last look.

    `keys_since` returns times and ids of the rows from a time on, in order, at most so many;
    `rows_of` the rows with these keys, in order.
    """

    def __init__(
        self,
        keys_since: Callable[[datetime, int], Sequence[Key]],
        rows_of: Callable[[Sequence[Key]], Rows],
        start: datetime,
    ) -> None:
        self._keys_since, self._rows_of = keys_since, rows_of
        self._newest = self._start = start
        self._given: dict[UUID, datetime] = {}

    def look(self, back: timedelta = FAR) -> Rows:
        """The next rows, at most 1,000: look again while there are some. Queries the database."""
        since = max(self._start, self._newest - back)
        keys = self._keys_since(since, MOST_AT_ONCE + len(self._given))
        fresh = [(time, id) for time, id in keys if id not in self._given][:MOST_AT_ONCE]
        if not fresh:
            return []
        rows = self._rows_of(fresh)
        self._given.update({id: time for time, id in fresh})
        self._newest = max(self._newest, fresh[-1][0])
        self._forget()
        return rows

    def _forget(self) -> None:
        """What is too old to be looked at again."""
        edge = self._newest - FAR
        if len(self._given) > 2 * MOST_AT_ONCE:
            self._given = {id: time for id, time in self._given.items() if time >= edge}
