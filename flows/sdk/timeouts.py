"""Timeouts: no run of a flow or task takes longer than it may.

What happens to code whose time is up depends on where it runs:

- in the main thread, it is interrupted where it stands, also while it sleeps or waits (by SIGALRM);
- in other threads, it runs in a thread of its own. That one is told to stop, but not waited for: Python code
  stops at once, a blocking call is left behind and stops when it returns;
- in coroutines, it is cancelled at its next `await`.

C code that neither returns nor waits cannot be interrupted in the main thread or an event loop. In an agent,
the process is killed a grace time after the timeout of its flow run; elsewhere such a run ends, as TimedOut,
when the code returns.
"""

import contextvars
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

from flows.sdk.futures import runner_threads
from flows.sdk.signals import DeadlinePassed
from flows.sdk.steps import Step

R = TypeVar("R")

LOOK_AGAIN = 1.0  # seconds after which a thread looks whether its limit has moved meanwhile


class FlowRunTimeoutError(TimeoutError):
    """A flow run took longer than its `timeout_seconds`."""


class TaskRunTimeoutError(TimeoutError):
    """A try of a task run took longer than its `timeout_seconds`."""


class Limit:
    """A point in time, `seconds` from now, after which code must not run on. Not while held."""

    __slots__ = ("deadline", "seconds", "watchers")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.deadline = time.monotonic() + seconds
        self.watchers: list[Callable[[], object]] = []  # called when the deadline was moved

    def left(self) -> float:
        """Seconds until the deadline, 0 at least; infinite while held."""
        return max(0.0, self.deadline - time.monotonic())

    @contextmanager
    def held(self) -> Iterator[None]:
        """The time in the block does not count, as when the flow is paused."""
        left = self.left()
        self._move(math.inf)
        try:
            yield
        finally:
            self._move(time.monotonic() + left)

    def _move(self, deadline: float) -> None:
        self.deadline = deadline
        for moved in list(self.watchers):
            moved()


def limit_of(seconds: float | None) -> Limit | None:
    """A limit that begins now; None if there is none."""
    return Limit(seconds) if seconds else None


def checked_timeout(seconds: float | None) -> float | None:
    """The timeout; None or 0 mean none. Raises ValueError for a negative one."""
    if seconds is not None and not seconds >= 0:
        raise ValueError(f"timeout_seconds must be 0 or more, not {seconds}.")
    return seconds or None


def limited(step: Step, limit: Limit | None) -> Step:
    """The step, made to raise DeadlinePassed when the limit passes while it is under way."""
    return step if limit is None else _Limited(step, limit)


class _Limited:
    __slots__ = ("limit", "step")

    def __init__(self, step: Step, limit: Limit) -> None:
        self.step = step
        self.limit = limit

    def run(self) -> Any:
        if threading.current_thread() is threading.main_thread():
            return _with_alarm(self.limit, self.step.run)
        return _in_its_own_thread(self.limit, self.step.run)

    async def run_async(self) -> Any:
        import asyncio

        loop, limit = asyncio.get_running_loop(), self.limit

        def move() -> None:
            left = limit.left()
            scope.reschedule(None if math.isinf(left) else loop.time() + left)

        try:
            async with asyncio.timeout(limit.left()) as scope:
                limit.watchers.append(move)
                try:
                    return await self.step.run_async()
                finally:
                    limit.watchers.remove(move)
        except TimeoutError:
            if scope.expired():
                raise DeadlinePassed(limit) from None
            raise


# The main thread: one timer of the system's, set to the earliest of the limits that code is now within.


class _Alarm:
    """A limit while its code is under way. `over`: it has rung, or an alarm on its behalf comes too late."""

    __slots__ = ("limit", "over")

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.over = False


_alarms: list[_Alarm] = []  # the outermost first
_others_handler: Callable[[int, FrameType | None], Any] | int | None = None


def _with_alarm(limit: Limit, work: Callable[[], R]) -> R:
    global _others_handler
    if signal.getsignal(signal.SIGALRM) is not _on_alarm:
        # It stays: a late alarm would find the system's default, which is to kill the process.
        _others_handler = signal.signal(signal.SIGALRM, _on_alarm)
    alarm = _Alarm(limit)
    _alarms.append(alarm)
    limit.watchers.append(_set_timer)
    try:
        _set_timer()
        return work()
    finally:
        alarm.over = True
        limit.watchers.remove(_set_timer)
        _alarms.remove(alarm)
        _set_timer()


def _set_timer() -> None:
    earliest = min((alarm.limit.left() for alarm in _alarms if not alarm.over), default=math.inf)
    signal.setitimer(signal.ITIMER_REAL, 0 if math.isinf(earliest) else max(earliest, 1e-4))


def _on_alarm(signum: int, frame: FrameType | None) -> None:
    passed = next((alarm for alarm in _alarms if not alarm.over and not alarm.limit.left()), None)
    if passed is not None:
        passed.over = True
        _set_timer()
        raise DeadlinePassed(passed.limit)
    if any(not alarm.over for alarm in _alarms):
        _set_timer()
    elif callable(_others_handler):
        _others_handler(signum, frame)


# Other threads.


class _Worker(threading.Thread):
    """Does one piece of work, in a copy of the context that made it."""

    def __init__(self, work: Callable[[], Any]) -> None:
        super().__init__(name="flows-limited", daemon=True)
        self.work = work
        self.context = contextvars.copy_context()
        self.value: Any = None
        self.error: BaseException | None = None

    def run(self) -> None:
        me = threading.get_ident()
        runner_threads.add(me)  # it stands for a thread of a runner
        try:
            self.value = self.context.run(self.work)
        except BaseException as error:
            self.error = error
        finally:
            runner_threads.discard(me)

    def stop(self) -> None:
        """Raise DeadlinePassed in this thread as soon as it runs Python code."""
        import ctypes

        if self.ident is not None:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(self.ident), ctypes.py_object(DeadlinePassed)
            )


def _in_its_own_thread(limit: Limit, work: Callable[[], Any]) -> Any:
    worker = _Worker(work)
    worker.start()
    while worker.is_alive() and (left := limit.left()):
        worker.join(min(left, LOOK_AGAIN))
    if worker.is_alive():
        worker.stop()
        raise DeadlinePassed(limit)
    if worker.error is not None:
        raise worker.error
    return worker.value
