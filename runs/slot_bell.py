"""The bell that wakes code which waits for slots, at the moment in which somebody gives slots back.

One thread and one connection for each process, from its first wait until nobody waited for a while. A bell
that is not heard costs a moment: whoever waits asks again by the clock.
"""

import asyncio
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any
from uuid import UUID

import psycopg

from runs.limits import CHANNEL
from runs.session import conninfo_of_django

logger = logging.getLogger(__name__)

Wake = Callable[[], object]

IDLE_SECONDS = 5.0
REMEMBERED = 100
TICK_SECONDS = 0.5


class SlotBell:
    """Waits of any number of threads and asyncio tasks, ended by one listener."""

    def __init__(self) -> None:
        self._changing = threading.Lock()
        self._resting: dict[UUID, Wake] = {}
        # Rings for leases that did not rest just then: they were about to, or they belong to other processes.
        self._unheard: deque[UUID] = deque(maxlen=REMEMBERED)
        self._wanted_at = 0.0
        self._listener: threading.Thread | None = None

    def rest(self, lease_id: UUID, seconds: float) -> bool:
        """Return when it may be the turn of this lease, after `seconds` at the latest. Always True."""
        rung = threading.Event()
        with self._listening(lease_id, rung.set):
            rung.wait(seconds)
        return True

    async def rest_async(self, lease_id: UUID, seconds: float) -> bool:
        """As `rest`, without blocking the event loop."""
        rung = asyncio.Event()
        wake = partial(asyncio.get_running_loop().call_soon_threadsafe, rung.set)
        with self._listening(lease_id, wake), suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await rung.wait()
        return True

    @contextmanager
    def _listening(self, lease_id: UUID, wake: Wake) -> Iterator[None]:
        with self._changing:
            self._wanted_at = time.monotonic()
            if self._listener is None:
                self._listener = threading.Thread(target=self._listen, name="slot-bell", daemon=True)
                self._listener.start()
            self._resting[lease_id] = wake
            if lease_id in self._unheard:
                self._unheard.remove(lease_id)
                wake()
        try:
            yield
        finally:
            with self._changing:
                self._resting.pop(lease_id, None)

    def close(self) -> None:
        """Stop listening; takes half a second at most."""
        with self._changing:
            self._wanted_at = -IDLE_SECONDS
            listener = self._listener
        if listener is not None:
            listener.join()

    def _listen(self) -> None:
        try:
            with psycopg.connect(**conninfo_of_django(), autocommit=True) as connection:
                connection.execute(f"LISTEN {CHANNEL}")
                self._ring_all()  # for what was missed before it listened
                while self._is_wanted():
                    for rung in connection.notifies(timeout=TICK_SECONDS, stop_after=1):
                        self._ring(UUID(rung.payload))
        except psycopg.Error as error:
            logger.debug("No bell for slots, asking by the clock: %s", error)
        finally:
            with self._changing:
                if self._listener is threading.current_thread():
                    self._listener = None

    def _is_wanted(self) -> bool:
        """Whether to go on. If not, whoever rests from now on starts another listener."""
        with self._changing:
            if time.monotonic() - self._wanted_at < IDLE_SECONDS:
                return True
            self._listener = None
            return False

    def _ring(self, lease_id: UUID) -> None:
        with self._changing:  # who is woken cannot leave meanwhile, and close its event loop
            if wake := self._resting.pop(lease_id, None):
                wake()
            else:
                self._unheard.append(lease_id)

    def _ring_all(self) -> None:
        with self._changing:
            for wake in self._resting.values():
                wake()
            self._resting.clear()


_bell = SlotBell()


def bell() -> SlotBell:
    """The bell of this process."""
    return _bell


def close() -> None:
    """Stop listening in this process."""
    _bell.close()


def _forget_after_fork(**_: Any) -> None:
    """A child has no listener, and must not use the connection of its parent's."""
    global _bell
    _bell = SlotBell()


os.register_at_fork(after_in_child=_forget_after_fork)
