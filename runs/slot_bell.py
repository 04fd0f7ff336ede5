"""The bell that wakes code which waits for slots, at the moment in which somebody gives slots back.

One thread and one connection for each process, from its first wait until nobody waited for a while. A bell
that is not heard costs a moment: whoever waits asks again by the clock.
"""

import logging
import os
import threading
import time
from typing import Any
from uuid import UUID

import psycopg

from runs.limits import CHANNEL
from runs.session import conninfo_of_django

logger = logging.getLogger(__name__)

IDLE_SECONDS = 5.0
TICK_SECONDS = 0.5


class SlotBell:
    """Waits of any number of threads, ended by one listener."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._resting: set[UUID] = set()  # leases that rest here; whoever is rung for is taken out
        self._wanted_at = 0.0
        self._listener: threading.Thread | None = None

    def rest(self, lease_id: UUID, seconds: float) -> None:
        """Return when it may be the turn of this lease, after `seconds` at the latest."""
        with self._changed:
            self._wanted_at = time.monotonic()
            if self._listener is None:
                self._listener = threading.Thread(target=self._listen, name="slot-bell", daemon=True)
                self._listener.start()
            self._resting.add(lease_id)
            self._changed.wait_for(lambda: lease_id not in self._resting, seconds)
            self._resting.discard(lease_id)

    def close(self) -> None:
        """Stop listening; takes half a second at most."""
        with self._changed:
            self._wanted_at = -IDLE_SECONDS
            listener = self._listener
        if listener is not None:
            listener.join()

    def _listen(self) -> None:
        try:
            with psycopg.connect(**conninfo_of_django(), autocommit=True) as connection:
                connection.execute(f"LISTEN {CHANNEL}")
                while self._is_wanted():
                    for rung in connection.notifies(timeout=TICK_SECONDS, stop_after=1):
                        self._ring(UUID(rung.payload))
        except psycopg.Error as error:
            logger.debug("No bell for slots, asking by the clock: %s", error)
        finally:
            with self._changed:
                self._listener = None

    def _is_wanted(self) -> bool:
        with self._changed:
            return time.monotonic() - self._wanted_at < IDLE_SECONDS

    def _ring(self, lease_id: UUID) -> None:
        with self._changed:
            if lease_id in self._resting:
                self._resting.discard(lease_id)
                self._changed.notify_all()


_bell = SlotBell()


def rest(lease_id: UUID, seconds: float) -> None:
    """Wait on the bell of this process."""
    _bell.rest(lease_id, seconds)


def close() -> None:
    """Stop listening in this process."""
    _bell.close()


def _forget_after_fork(**_: Any) -> None:
    """A child has no listener, and must not use the connection of its parent's."""
    global _bell
    _bell = SlotBell()


os.register_at_fork(after_in_child=_forget_after_fork)
