"""The ringer rings at the very moment at which runs become due; the sweeper is its safety net.

It sleeps until shortly before the next run is due, finds out whom to ring for, and rings in time. `Alarm`
wakes it when a run is made that is due sooner.
"""

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

import psycopg

from agents.services.sweeper import ring_what_is_owed
from runs.models import FlowRun
from runs.models.flow_run import StateType
from runs.session import conninfo_of_django

CHANNEL = "portal_due_soon"
# What is needed to find out for whom to ring, on a busy machine.
AHEAD = timedelta(milliseconds=15)
# While another scheduler is ringing: it may have begun a moment before the run was due.
AGAIN = timedelta(milliseconds=5)
LISTEN_SECONDS = 0.5
RECONNECT_SECONDS = 1.0


class Ringer:
    """Remembers up to which moment it has rung, and when the next run is due."""

    def __init__(self) -> None:
        self._rung_until: datetime | None = None
        self._next: datetime | None = None

    def step(self, now: datetime) -> datetime | None:
        """Ring if runs became due since the last step, or are in a moment; return when to look again."""
        asked_at = time.monotonic()  # it was `now` then, or later
        if self._next is None or now < self._next - AHEAD:
            # The database's clock may have been put back.
            self._next = self._first_due_after(min(self._rung_until or now, now))
        rung_until = now
        if self._next is not None and self._next - AHEAD <= now:
            rung_until = max(now, self._next)
            due_at = asked_at + (rung_until - now).total_seconds()
            if ring_what_is_owed(rung_until, lambda: _sleep_until(due_at)) is None:
                return now + AGAIN
            self._next = self._first_due_after(rung_until)
        self._rung_until = rung_until
        return None if self._next is None else self._next - AHEAD

    @staticmethod
    def _first_due_after(moment: datetime) -> datetime | None:
        waiting = FlowRun.objects.filter(state_type=StateType.SCHEDULED, expected_start_time__gt=moment)
        return waiting.order_by("expected_start_time").values_list("expected_start_time", flat=True).first()


def _sleep_until(monotonic: float) -> None:
    time.sleep(max(0.0, monotonic - time.monotonic()))


class Alarm:
    """Listens for runs that are due in a moment. Without it (no LISTEN) the ringer looks every second."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake

    def run(self, stop: threading.Event) -> None:
        """Listen until `stop` is set, on a connection of its own; a broken one is opened again."""
        while not stop.is_set():
            try:
                with psycopg.connect(**conninfo_of_django(), autocommit=True) as connection:
                    connection.execute(f"LISTEN {CHANNEL}")
                    self._wake()  # for what was made before it listened
                    self._listen(connection, stop)
            except psycopg.Error:  # the loops tell of an outage
                stop.wait(RECONNECT_SECONDS)

    def _listen(self, connection: "psycopg.Connection[tuple[object, ...]]", stop: threading.Event) -> None:
        while not stop.is_set():
            if list(connection.notifies(timeout=LISTEN_SECONDS, stop_after=1)):
                self._wake()
