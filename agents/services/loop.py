"""A loop around a step: when to take it, and what to do when it fails."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import redis
from django.db import connection
from django.utils import timezone

from agents.services.database import database_time
from runs.acting import acting_as, service
from runs.outages import is_outage
from runs.pooler import explained

logger = logging.getLogger(__name__)

# A step gets the database time. It may name the moment of the next one, if that is sooner than usual.
Step = Callable[[datetime], datetime | None]

FIRST_BACK_OFF = 0.25
LONGEST_BACK_OFF = 2.0


@dataclass(slots=True)
class Outcome:
    """What is known of a loop: the last step that worked, and the last that did not."""

    last_success: datetime | None = None
    duration_ms: float = 0.0
    last_error: str = ""
    last_error_time: datetime | None = None


class Outages:
    """Says once that something is away and once that it is back, for all loops together."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}
        self._lock = threading.Lock()

    def begin(self, what: str, error: Exception, *, expected: bool) -> None:
        """Log the first of a row of failures, with a traceback if it is not one that happens."""
        with self._lock:
            if what in self._since:
                return
            self._since[what] = time.monotonic()
        text = explained(error)
        trace = None if expected else error
        logger.warning("%s: %s. Trying again until it works.", what, text, exc_info=trace)

    def end(self, what: str) -> None:
        with self._lock:
            since = self._since.pop(what, None)
        if since is not None:
            logger.warning("%s: works again after %.1f s.", what, time.monotonic() - since)


class Loop:
    """Takes `step` every `every` seconds until stopped, backing off while it fails."""

    def __init__(self, name: str, step: Step, every: float, outages: Outages) -> None:
        self.name = name
        self.outcome = Outcome()
        self._step = step
        self.every = every
        self._outages = outages
        self._trouble = ""
        self._back_off = FIRST_BACK_OFF
        self._woken = threading.Event()

    def run(self, stop: threading.Event) -> None:
        """Loop until `stop` is set (and `wake` called). Keeps one database connection, of this thread."""
        try:
            while not stop.is_set():
                self._woken.wait(self.take_step())
                self._woken.clear()
        finally:
            connection.close()

    def wake(self) -> None:
        """Take the next step now. Any thread may call it."""
        self._woken.set()

    def take_step(self) -> float:
        """Take one step and return the seconds to wait before the next."""
        started = time.monotonic()
        try:
            now = database_time()
            with acting_as(lambda: service(self.name)):
                following = self._step(now)
        except Exception as error:  # one bad step must not end the loop
            return self._failed(error)
        spent = time.monotonic() - started
        self._succeeded(now, spent)
        if following is None:
            return max(0.0, self.every - spent)
        return min(self.every, max(0.0, (following - now).total_seconds() - spent))

    def _succeeded(self, now: datetime, spent: float) -> None:
        self.outcome.last_success = now
        self.outcome.duration_ms = spent * 1000
        self._back_off = FIRST_BACK_OFF
        if self._trouble:
            self._outages.end(self._trouble)
            self._trouble = ""

    def _failed(self, error: Exception) -> float:
        self.outcome.last_error = f"{type(error).__name__}: {error}".strip()
        self.outcome.last_error_time = timezone.now()
        outage = _outage(error)
        self._trouble = outage or f"Loop '{self.name}' failed ({type(error).__name__})"
        self._outages.begin(self._trouble, error, expected=outage is not None)
        connection.close()  # it may be broken; the next step opens a new one
        wait = self._back_off
        self._back_off = min(LONGEST_BACK_OFF, wait * 2)
        return wait


def _outage(error: Exception) -> str | None:
    """Which server is away, if that is what the error says."""
    if is_outage(error):
        return "PostgreSQL is not reachable"
    if isinstance(error, redis.ConnectionError | redis.TimeoutError):
        return "Redis is not reachable"
    return None
