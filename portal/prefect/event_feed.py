"""What happens in a workspace, read once and handed to every socket of this process that listens."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from agents.services.database import database_time
from portal.api.event_pages import COLUMNS
from portal.live.hints import hints_of
from portal.live.publisher import events_group, workspace_group
from portal.prefect.opening import persistently
from portal.prefect.tail import FAR, NEAR, Key, Rows, Tail
from runs.models import Event

SECONDS_BETWEEN_LOOKS = 0.1
# Hints may be lost, and some events are made without one.
SECONDS_WITHOUT_HINT = 2.0
MOST_WAITING = 5000  # of one socket; more, and it does not keep up

Row = dict[str, Any]


class Listener:
    """A socket's place in a feed: events wait here until it takes them."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[Row] = asyncio.Queue(MOST_WAITING)
        self.lags = False

    def offer(self, rows: Rows) -> None:
        for row in rows:
            if self.events.full():
                self.lags = True
                return
            self.events.put_nowait(row)


class EventFeed:
    """The events of one workspace, from the moment on at which somebody listens."""

    def __init__(self, workspace_id: UUID) -> None:
        self.workspace_id = workspace_id
        self.listeners: set[Listener] = set()
        self._following: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._following = asyncio.create_task(self._follow())

    def stop(self) -> None:
        if self._following:
            self._following.cancel()

    async def _follow(self) -> None:
        # What is under way now may have begun a while ago.
        start = await persistently(database_time) - FAR
        tail = Tail(self._keys_since, self._rows_of, start)
        async with hints_of([workspace_group(self.workspace_id), events_group(self.workspace_id)]) as hints:
            while True:
                # Without a hint there is time to look further back.
                back = NEAR if await hints.wait(SECONDS_WITHOUT_HINT) else FAR
                while rows := await persistently(tail.look, back):
                    for listener in self.listeners:
                        listener.offer(rows)
                await asyncio.sleep(SECONDS_BETWEEN_LOOKS)

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
