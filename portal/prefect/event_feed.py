"""What happens in a workspace, read once and handed to every socket of this process that listens."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Any
from uuid import UUID

from agents.services.database import database_time
from portal.api.events.pages import COLUMNS
from portal.live.hints import hints_of
from portal.live.publisher import events_group, workspace_group
from portal.prefect.opening import persistently
from portal.prefect.tail import FAR, NEAR, Key, Rows, Tail
from runs.models import Event

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_LOOKS = 0.1
# Hints may be lost, and some events are made without one.
SECONDS_WITHOUT_HINT = 2.0
MOST_WAITING = 5000  # of one socket; more, and it does not keep up

Row = dict[str, Any]


class Listener:
    """A socket's place in a feed: events wait here until it takes them."""

    def __init__(self) -> None:
        self._events: asyncio.Queue[Row | None] = asyncio.Queue(MOST_WAITING)
        self._is_over = False

    def offer(self, rows: Rows) -> None:
        """Let these wait, too. If there are too many of them, it is over."""
        for row in rows:
            if self._events.full():
                self._is_over = True
                return
            self._events.put_nowait(row)

    def end(self) -> None:
        """Nothing more is to come: the feed has failed."""
        self._is_over = True
        if not self._events.full():
            self._events.put_nowait(None)

    async def take(self) -> Row | None:
        """The next event; None when some were lost."""
        return None if self._is_over else await self._events.get()


class EventFeed:
    """The events of one workspace, from the moment on at which somebody listens."""

    def __init__(self, workspace_id: UUID) -> None:
        self.workspace_id = workspace_id
        self.listeners: set[Listener] = set()
        self._following: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._following = asyncio.create_task(self._follow())
        self._following.add_done_callback(self._ended)

    def _ended(self, following: asyncio.Task[None]) -> None:
        if following.cancelled():
            return
        logger.error("Events cannot be followed any more.", exc_info=following.exception())
        for listener in self.listeners:
            listener.end()

    def stop(self) -> None:
        if self._following:
            self._following.cancel()

    async def _follow(self) -> None:
        # What is under way now may have begun a while ago.
        start = await persistently(database_time) - FAR
        tail = Tail(self._keys_since, self._rows_of, start)
        async with hints_of([workspace_group(self.workspace_id), events_group(self.workspace_id)]) as hints:
            far_at = 0.0
            while True:  # looks before it waits: what came while it joined gave it no hint
                back = NEAR
                if (moment := monotonic()) >= far_at:  # also where hints never cease
                    back, far_at = FAR, moment + SECONDS_WITHOUT_HINT
                while rows := await persistently(tail.look, back):
                    for listener in self.listeners:
                        listener.offer(rows)
                await asyncio.sleep(SECONDS_BETWEEN_LOOKS)
                await hints.wait(SECONDS_WITHOUT_HINT)

    def _keys_since(self, since: Any, most: int) -> Sequence[Key]:
        found = Event.objects.filter(workspace_id=self.workspace_id, received__gte=since)
        return list(found.order_by("received", "id").values_list("received", "id")[:most])

    def _rows_of(self, keys: Sequence[Key]) -> Rows:
        found = Event.objects.filter(
            workspace_id=self.workspace_id,
            received__gte=min(time for time, _ in keys),
            received__lte=max(time for time, _ in keys),
            id__in=[id for _, id in keys],
        )
        return list(found.order_by("received", "id").values(*COLUMNS))


_feeds: dict[UUID, EventFeed] = {}


@contextmanager
def listening(workspace_id: UUID) -> Iterator[Listener]:
    """Listen to the events of a workspace. The first of its listeners starts the feed, the last stops it."""
    feed = _feeds.get(workspace_id)
    if feed is None:
        feed = _feeds[workspace_id] = EventFeed(workspace_id)
        feed.start()
    listener = Listener()
    feed.listeners.add(listener)
    try:
        yield listener
    finally:
        feed.listeners.discard(listener)
        if not feed.listeners:
            del _feeds[workspace_id]
            feed.stop()
