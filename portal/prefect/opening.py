"""How every socket of Prefect's clients opens (subprotocol, token, answer, filter), and when it ends."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar
from uuid import UUID

import orjson
from channels.db import database_sync_to_async
from django.db import InterfaceError, OperationalError
from pydantic import TypeAdapter, ValidationError
from rest_framework.exceptions import AuthenticationFailed

from flows.models import Membership
from flows.scoping import Actor
from portal.access.actors import actor_of_user, has_role
from portal.access.authentication import text_of
from portal.access.overlong import took_too_long, what_happened
from portal.access.tokens import find_token
from portal.api.base.errors import first_problem
from portal.api.base.renderers import OrjsonRenderer
from portal.live.asgi_types import Message, Receive, Scope, Send
from portal.live.seats import why_not

logger = logging.getLogger(__name__)

Result = TypeVar("Result")
Filter = TypeVar("Filter")

NOT_AUTHORISED = 1008  # what Prefect's clients take for a failure of authentication
BAD_FRAME = 1002
TRY_AGAIN = 1013

FIRST_BACK_OFF, LONGEST_BACK_OFF = 0.25, 2.0
SECONDS_BETWEEN_CHECKS = 30.0
SECONDS_TO_SAY_WHO = 10.0
SECONDS_TO_SAY_WHAT = 10.0
SECONDS_TO_TAKE_A_FRAME = 10.0
WITHOUT_ONE = (
    "No token was sent. Set PREFECT_API_AUTH_STRING to a token of Portal: with PREFECT_API_KEY alone, "
    "sockets send none."
)
NOT_VALID = "This token is not valid: it is unknown, revoked or expired, or its user lost access."
NOT_ALLOWED = "The role of this token's user does not allow this."


class Gone(Exception):
    """The socket is closed: by the client, or by us after it was told why."""


@dataclass(slots=True)
class Socket:
    """A socket that was accepted."""

    scope: Scope
    receive: Receive
    send: Send

    async def text(self, patience: float | None = None) -> str:
        """The next frame. Raises Gone, also after `patience` seconds without one."""
        try:
            async with asyncio.timeout(patience):
                message = await self.receive()
        except TimeoutError:
            await self.close(BAD_FRAME, "Nothing was sent.")
        return text_in(message)

    async def tell(self, frame: dict[str, Any]) -> None:
        """Send a frame. Raises Gone when the client does not take it."""
        try:
            async with asyncio.timeout(SECONDS_TO_TAKE_A_FRAME):
                await self.send({"type": "websocket.send", "text": OrjsonRenderer().render(frame).decode()})
        except TimeoutError:
            await self.close(TRY_AGAIN, "The client does not keep up.")

    async def close(self, code: int, reason: str) -> NoReturn:
        """Close the socket, and raise Gone."""
        text = reason.encode("ascii", "replace")[:120].decode()  # a close frame holds 123 bytes
        await self.send({"type": "websocket.close", "code": code, "reason": text})
        raise Gone(reason)


def text_in(message: Message) -> str:
    """The text of a received message. Raises Gone if it is the last one."""
    if message["type"] == "websocket.disconnect":
        raise Gone("closed by the client")
    text = message.get("text")
    return text if text is not None else bytes(message["bytes"]).decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Client:
    """Who holds the other end: the holder of a token, in the token's workspace."""

    token: str
    actor: Actor
    workspace_id: UUID


async def open_socket(
    scope: Scope, receive: Receive, send: Send, role: Membership.Role
) -> tuple[Socket, Client]:
    """Accept a socket and learn who opens it. Raises Gone: 1008 without a token that allows `role`,
    1013 if the token has too many open."""
    await receive()  # websocket.connect
    chosen = "prefect" if "prefect" in scope.get("subprotocols", ()) else None
    await send({"type": "websocket.accept", "subprotocol": chosen})
    socket = Socket(scope, receive, send)
    token = _token_in_frame(await socket.text(SECONDS_TO_SAY_WHO)) or _token_in_header(scope)
    if not token:
        await socket.close(NOT_AUTHORISED, WITHOUT_ONE)
    client = await persistently(client_of, token, role)
    if isinstance(client, str):
        await socket.close(NOT_AUTHORISED, client)
    if not scope["seat"].take(("token", token)):
        await socket.close(TRY_AGAIN, why_not())
    await socket.tell({"type": "auth_success"})
    return socket, client


async def in_thread(work: Callable[..., Result], *args: Any) -> Result:
    """What `work` returns, in a thread of its own: sockets do not wait for each other's queries."""
    result: Result = await database_sync_to_async(work, thread_sensitive=False)(*args)
    return result


async def persistently(work: Callable[..., Result], *args: Any) -> Result:
    """`in_thread`, again and again while PostgreSQL is away, or when two writers waited for each other."""
    back_off = FIRST_BACK_OFF
    while True:
        try:
            return await in_thread(work, *args)
        except (OperationalError, InterfaceError) as error:
            logger.warning("A socket waits for PostgreSQL: %s", error)
        await asyncio.sleep(back_off)
        back_off = min(LONGEST_BACK_OFF, 2 * back_off)


async def asked(socket: Socket, work: Callable[..., Result], *args: Any) -> Result:
    """`persistently`, what a client asked for. Raises Gone if it takes too long: so it would each time."""

    def once() -> tuple[Result] | None:
        try:
            return (work(*args),)
        except OperationalError as error:
            if not took_too_long(error):
                raise
            return None

    found = await persistently(once)
    if found is None:
        await socket.close(BAD_FRAME, what_happened())
    return found[0]


def client_of(token: str, role: Membership.Role) -> Client | str:
    """Whom this token speaks for now, or why it does not."""
    found = find_token(token)
    if found is None:
        return NOT_VALID
    actor = actor_of_user(found.user, found.workspace_id)
    if not has_role(actor, role, found.workspace_id):
        return NOT_ALLOWED
    return Client(token, actor, found.workspace_id)


def _token_in_frame(text: str) -> str:
    try:
        frame = orjson.loads(text)
    except ValueError:
        return ""
    if not isinstance(frame, dict) or frame.get("type") != "auth":
        return ""
    token = frame.get("token")
    return token if isinstance(token, str) else ""


def _token_in_header(scope: Scope) -> str:
    """The token that was sent with the upgrade; empty without one."""
    header = dict(scope["headers"]).get(b"authorization", b"")
    try:
        return text_of(header) if header else ""
    except AuthenticationFailed:
        return ""


async def read_filter(socket: Socket, adapter: TypeAdapter[Filter]) -> tuple[Filter, dict[str, Any]]:
    """What the client wants to hear of, and the whole frame that says so. Raises Gone for any other."""
    try:
        frame = orjson.loads(await socket.text(SECONDS_TO_SAY_WHAT))
    except ValueError:
        frame = None
    if not isinstance(frame, dict) or frame.get("type") != "filter":
        await socket.close(BAD_FRAME, 'Send {"type": "filter", "filter": {...}} first.')
    try:
        return adapter.validate_python(frame.get("filter") or {}), frame
    except ValidationError as error:
        await socket.close(BAD_FRAME, f"The filter cannot be understood: {first_problem(error)}")


async def while_welcome(
    socket: Socket, client: Client, role: Membership.Role, work: Coroutine[Any, Any, None]
) -> None:
    """Do the work until the client goes or loses its role. Raises Gone."""
    works = (_gone(socket), watched(socket, client, role), work)
    tasks = [asyncio.ensure_future(each) for each in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()


async def _gone(socket: Socket) -> None:
    """Wait until the client closes the socket; what it says is left unread. Raises Gone."""
    while True:
        await socket.text()


async def watched(socket: Socket, client: Client, role: Membership.Role) -> None:
    """Look now and then whether the client may still be here. Raises Gone when its token has ended."""
    while True:
        await asyncio.sleep(SECONDS_BETWEEN_CHECKS)
        found = await persistently(client_of, client.token, role)
        if isinstance(found, str):
            await socket.close(NOT_AUTHORISED, found)
