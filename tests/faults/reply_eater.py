"""A way to PostgreSQL on which some answers get lost: what was asked for is done, and nobody hears of it."""

import asyncio
import random
import re
import threading
from pathlib import Path

SOCKET = ".s.PGSQL.5432"
# The server says that a change was made, and that no transaction is open any more.
DURABLE = re.compile(rb"C\x00\x00\x00.(COMMIT|INSERT|UPDATE|DELETE).*Z\x00\x00\x00\x05I", re.DOTALL)


class ReplyEater:
    """Passes everything on between `folder` and the server's socket, both Unix sockets.

    With probability `loss` the answer to a commit is dropped, and the connection with it. Runs in a thread.
    """

    def __init__(self, server: Path, folder: Path, dice: random.Random, loss: float) -> None:
        self.eaten = 0
        self.folder = folder
        self._server = server
        self._dice = dice
        self._loss = loss
        self._loop = asyncio.new_event_loop()
        self._listens = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="reply eater", daemon=True)

    def start(self) -> None:
        self._thread.start()
        assert self._listens.wait(5)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        path = str(self.folder / SOCKET)
        self._loop.run_until_complete(asyncio.start_unix_server(self._on_client, path))
        self._listens.set()
        self._loop.run_forever()

    async def _on_client(self, reading: asyncio.StreamReader, writing: asyncio.StreamWriter) -> None:
        try:
            answers, asks = await asyncio.open_unix_connection(str(self._server / SOCKET))
        except OSError:
            writing.close()
            return
        asking = asyncio.create_task(self._pass_on(reading, asks))
        await self._pass_on(answers, writing, eat=True)
        asking.cancel()
        asks.close()
        writing.close()

    async def _pass_on(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, eat: bool = False
    ) -> None:
        try:
            while data := await source.read(65536):
                if eat and DURABLE.search(data) and self._dice.random() < self._loss:
                    self.eaten += 1
                    return
                target.write(data)
                await target.drain()
        except OSError:
            pass
        if not eat:
            target.close()
