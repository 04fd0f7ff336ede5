"""Pongs that wait until an application has stored what came before them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from websockets.asyncio.client import ClientConnection, connect

from portal.prefect.receipts import ReceiptProtocol, receipts_of
from tests.processes import PATIENCE, free_port

App = Callable[[Any, Any, Any], Awaitable[None]]
A_MOMENT = 0.3  # seconds


@asynccontextmanager
async def connected(app: App, ping_seconds: float = 20) -> AsyncIterator[ClientConnection]:
    """A client of a server that runs `app`."""
    config = uvicorn.Config(
        app, port=free_port(), ws=ReceiptProtocol, lifespan="off", log_level="warning",
        ws_ping_interval=ping_seconds, ws_ping_timeout=ping_seconds,
        timeout_graceful_shutdown=2,
    )  # fmt: skip
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        async with connect(f"ws://127.0.0.1:{config.port}/", ping_interval=None) as client:
            yield client
    finally:
        server.should_exit = True
        await serving


def storing(may_store: asyncio.Event) -> App:
    """Takes one frame, and stores it as soon as it may."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        receipts = receipts_of(scope)
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            await may_store.wait()
            receipts.stored(1)

    return app


async def test_a_pong_waits_for_what_came_before_its_ping() -> None:
    may_store = asyncio.Event()
    async with connected(storing(may_store)) as client:
        await client.send("one")
        await client.send("two")
        pong = await client.ping()
        await asyncio.wait([pong], timeout=A_MOMENT)
        assert not pong.done()

        may_store.set()
        await asyncio.wait_for(pong, PATIENCE)


async def test_a_ping_after_nothing_is_answered_at_once() -> None:
    async with connected(storing(asyncio.Event())) as client:
        await asyncio.wait_for(await client.ping(), PATIENCE)


async def test_an_application_without_receipts_has_the_servers_own_pongs() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass

    async with connected(app) as client:
        await client.send("one")
        await asyncio.wait_for(await client.ping(), PATIENCE)


async def test_a_client_is_not_cut_off_while_we_are_behind() -> None:
    may_store = asyncio.Event()
    async with connected(storing(may_store), ping_seconds=0.05) as client:
        for _ in range(3):
            await client.send("a frame")
        pong = await client.ping()
        await asyncio.wait([pong], timeout=A_MOMENT)  # several pings of the server's time out meanwhile
        may_store.set()
        await asyncio.wait_for(pong, PATIENCE)
