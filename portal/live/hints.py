"""Waiting for live messages of some groups, with patience: they are hints, and may be lost."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from channels.layers import get_channel_layer
from redis import RedisError

logger = logging.getLogger(__name__)

SECONDS_TO_JOIN = 2.0


class Hints:
    """Says whether something was published since it was asked last."""

    def __init__(self) -> None:
        self._came = asyncio.Event()

    def note(self) -> None:
        self._came.set()

    async def wait(self, seconds: float) -> bool:
        """Wait for a hint, at most so long; whether there was one."""
        try:
            async with asyncio.timeout(seconds):
                await self._came.wait()
        except TimeoutError:
            return False
        self._came.clear()
        return True


@asynccontextmanager
async def hints_of(groups: Sequence[str]) -> AsyncIterator[Hints]:
    """Hear the messages of these groups; none at all while Redis is away."""
    hints = Hints()
    joined = asyncio.Event()
    listening = asyncio.create_task(_listen(groups, hints, joined))
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(SECONDS_TO_JOIN):
                await joined.wait()
        yield hints
    finally:
        listening.cancel()


async def _listen(groups: Sequence[str], hints: Hints, joined: asyncio.Event) -> None:
    layer = get_channel_layer()
    while True:
        channel = await layer.new_channel()
        try:
            for group in groups:
                await layer.group_add(group, channel)
            joined.set()
            while True:
                # A receive that is cancelled closes the channel, so it gets no time-out of its own.
                await layer.receive(channel)
                hints.note()
        except (RedisError, OSError) as error:
            logger.warning("No live messages for now: %s", error)
            await asyncio.sleep(SECONDS_TO_JOIN)
        finally:
            with suppress(RedisError, OSError):
                for group in groups:
                    await layer.group_discard(group, channel)
