"""`/api/events/out`: Prefect's clients follow what happens in their workspace.

A socket first listens, then reads what is stored, then passes on what it has heard, without what it has sent:
so nothing is missed in between, and nothing comes twice.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Q

from agents.services.database import database_time
from flows.models import Membership
from portal.api.events.pages import COLUMNS
from portal.live.asgi_types import Receive, Scope, Send
from portal.prefect.event_feed import Listener, Row, listening
from portal.prefect.event_filter import EVENT_FILTER, EventFilter
from portal.prefect.opening import (
    TRY_AGAIN,
    Client,
    Gone,
    Socket,
    asked,
    open_socket,
    persistently,
    read_filter,
    while_welcome,
)
from portal.prefect.tail import FAR
from runs.models import Event

ROLE = Membership.Role.VIEWER
AT_ONCE = 500
EARLIEST = timedelta(days=7)  # of what is stored


async def events_out(scope: Scope, receive: Receive, send: Send) -> None:
    """The ASGI application of the socket."""
    try:
        socket, client = await open_socket(scope, receive, send, ROLE)
        wanted, frame = await read_filter(socket, EVENT_FILTER)
        with listening(client.workspace_id) as listener:
            if frame.get("backfill", True) and wanted.occurred and wanted.occurred.since:
                sent = await _send_stored(socket, client, wanted)
            else:
                sent = await persistently(_just_stored, client)
            await while_welcome(socket, client, ROLE, _send_live(socket, wanted, listener, sent))
    except Gone:
        pass


async def _send_stored(socket: Socket, client: Client, wanted: EventFilter) -> set[UUID]:
    """Send what happened since the filter's time, oldest first; return the ids."""
    sent: set[UUID] = set()
    after: tuple[datetime, UUID] | None = None
    while rows := await asked(socket, _stored, client, wanted, after):
        after = rows[-1]["occurred"], rows[-1]["id"]
        for row in rows:
            if wanted.includes(row):
                await socket.tell(as_frame(row))
                sent.add(row["id"])
    return sent


def _just_stored(client: Client) -> set[UUID]:
    """What a feed may still hand out although it was stored before."""
    recent = Event.objects.filter(workspace_id=client.workspace_id, received__gte=database_time() - 2 * FAR)
    return set(recent.values_list("id", flat=True))


def _stored(client: Client, wanted: EventFilter, after: tuple[datetime, UUID] | None) -> list[Row]:
    found = Event.objects.for_actor(client.actor).filter(wanted.narrowed())
    found = found.filter(occurred__gte=database_time() - EARLIEST)
    if after is not None:
        occurred, id = after
        beyond = Q(occurred__gt=occurred) | Q(occurred=occurred, id__gt=id)
        found = found.filter(beyond, occurred__gte=occurred)
    return list(found.order_by("occurred", "id").values(*COLUMNS)[:AT_ONCE])


async def _send_live(socket: Socket, wanted: EventFilter, listener: Listener, sent: set[UUID]) -> None:
    """Send what happens from now on. Raises Gone when the client does not keep up."""
    while (row := await listener.take()) is not None:
        if row["id"] not in sent and wanted.includes(row):
            await socket.tell(as_frame(row))
    await socket.close(TRY_AGAIN, "The client does not keep up.")


def as_frame(row: Row) -> dict[str, Any]:
    """An event as Prefect's clients read it."""
    return {"type": "event", "event": row}
