"""`/api/events/in`: Prefect's clients tell what happens in the runs that they execute.

Frames are stored in batches, and nothing more is read while a batch is being stored: a client that sends
faster than PostgreSQL writes is held up by its own connection.
"""

import asyncio
import logging
from collections.abc import AsyncIterator

from pydantic import ValidationError

from flows.models import Membership
from portal.api.base.errors import first_problem
from portal.live.asgi_types import Message, Receive, Scope, Send
from portal.prefect.incoming import ClientEvent, read_event, store
from portal.prefect.opening import (
    BAD_FRAME,
    NOT_AUTHORISED,
    Client,
    Gone,
    Socket,
    client_of,
    open_socket,
    persistently,
    text_in,
)
from portal.prefect.receipts import receipts_of

logger = logging.getLogger(__name__)

MOST_AT_ONCE = 500
MOST_CHARACTERS = 8 * 1024 * 1024  # of a batch: a frame may have 2 MiB
LINGER_SECONDS = 0.005  # for more frames to come, which are stored with the first
ROLE = Membership.Role.OPERATOR


async def events_in(scope: Scope, receive: Receive, send: Send) -> None:
    """The ASGI application of the socket."""
    receipts = receipts_of(scope)
    try:
        socket, client = await open_socket(scope, receive, send, ROLE)
        receipts.stored(1)  # the frame that said who it is
        async for frames in _batches(socket):
            await _take(socket, client, frames)
            receipts.stored(len(frames))
    except Gone:
        pass


async def _batches(socket: Socket) -> AsyncIterator[list[str]]:
    """The frames as they come, up to 500 or 8 MiB at once, until the client goes."""
    coming: asyncio.Future[Message] | None = None
    try:
        while True:
            frames: list[str] = []
            characters = 0
            while len(frames) < MOST_AT_ONCE and characters < MOST_CHARACTERS:
                coming = coming or asyncio.ensure_future(socket.receive())
                await asyncio.wait([coming], timeout=LINGER_SECONDS if frames else None)
                if not coming.done():
                    break
                message, coming = coming.result(), None
                if message["type"] == "websocket.disconnect":
                    if frames:
                        yield frames
                    return
                frames.append(text_in(message))
                characters += len(frames[-1])
            yield frames
    finally:
        if coming:
            coming.cancel()


async def _take(socket: Socket, client: Client, frames: list[str]) -> None:
    """Store a batch, however long PostgreSQL is away. Raises Gone at a frame that is no event."""
    events: list[ClientEvent] = []
    wrong = ""
    for frame in frames:
        try:
            events.append(read_event(frame))
        except ValidationError as error:
            wrong = f"This is no event: {first_problem(error)}"
            break
    if events and (refused := await persistently(_store, client, events)):
        await socket.close(NOT_AUTHORISED, refused)
    if wrong:
        logger.warning("A client of workspace %s was cut off. %s", client.workspace_id, wrong)
        await socket.close(BAD_FRAME, wrong)


def _store(client: Client, events: list[ClientEvent]) -> str:
    """Store events; why not, if the token has ended meanwhile."""
    now = client_of(client.token, ROLE)
    if isinstance(now, str):
        return now
    store(now.workspace_id, events)
    return ""
