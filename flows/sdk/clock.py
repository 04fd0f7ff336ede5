"""The time that engines see: the system's, or a test's."""

import time
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Protocol


class Clock(Protocol):
    """Tells the time and lets it pass. Safe to use from any thread."""

    def now(self) -> datetime:
        """An aware datetime, in UTC."""
        ...

    def sleep(self, seconds: float) -> None: ...

    async def sleep_async(self, seconds: float) -> None: ...


class SystemClock:
    """The time as it is."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    async def sleep_async(self, seconds: float) -> None:
        import asyncio

        await asyncio.sleep(seconds)


class FakeClock:
    """Time that stands still until somebody sleeps, and then passes at once.

    `slept` lists the seconds of every sleep, in order: the delays between tries, for instance.
    """

    def __init__(self, start: datetime | None = None) -> None:
        self.start = start or datetime.now(UTC)
        self.slept: list[float] = []
        self._now = self.start
        self._lock = Lock()

    @property
    def elapsed(self) -> float:
        """Seconds that have passed since the start."""
        return (self._now - self.start).total_seconds()

    def now(self) -> datetime:
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time pass without anybody sleeping."""
        with self._lock:
            self._now += timedelta(seconds=seconds)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(seconds)

    async def sleep_async(self, seconds: float) -> None:
        self.sleep(seconds)


_system = SystemClock()
current_clock: ContextVar[Clock] = ContextVar("current_clock", default=_system)


def now() -> datetime:
    """The time of the current clock: aware, in UTC."""
    return current_clock.get().now()
