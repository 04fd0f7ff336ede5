"""Futures: handles of task runs that were submitted."""

import time
from collections.abc import Callable, Iterable, Iterator
from threading import Lock, get_ident
from typing import Any, Generic, NamedTuple, TypeVar
from uuid import UUID

from flows.sdk.states import State
from flows.sdk.task_run import TaskRun
from flows.sdk.waits import waiting_for

R = TypeVar("R")


class TaskFuture(Generic[R]):
    """The outcome of a submitted task run, now or later.

    `work` produces the final state; exactly one thread gets to do it: a thread of the runner, or a
    thread of the runner that would otherwise wait for it (see `wait`).
    """

    __slots__ = ("__weakref__", "_callbacks", "_latch", "_state", "_work", "task_run")

    def __init__(self, task_run: TaskRun, work: Callable[[], State]) -> None:
        self.task_run = task_run
        self._work = [work]
        self._state: State | None = None
        self._callbacks: list[Callable[[TaskFuture[R]], object]] = []
        self._latch = Lock()
        self._latch.acquire()

    @property
    def task_run_id(self) -> UUID:
        return self.task_run.id

    @property
    def name(self) -> str:
        """The task run's name."""
        return self.task_run.name

    @property
    def state(self) -> State:
        """The task run's state now."""
        return self._state or self.task_run.state

    def done(self) -> bool:
        return self._state is not None

    def run(self) -> bool:
        """Do the work, unless it was done, taken or cancelled: then return False."""
        try:
            work = self._work.pop()  # atomic: one thread gets it
        except IndexError:
            return False
        self._finish(work())
        return True

    def cancel(self, state: State) -> bool:
        """End in `state` if the work has not begun; return whether that was so."""
        try:
            self._work.pop()
        except IndexError:
            return False
        self._finish(self.task_run.enter(state))
        return True

    def wait(self, timeout: float | None = None) -> None:
        """Return when the task run is over, or after `timeout` seconds.

        A thread of a runner does work that has not begun instead of waiting for it: with all
        threads waiting for submitted work, nobody would be left to do it.
        Raises CircularWaitError if the task run waits for the caller's.
        """
        if self._state is not None:
            return
        if timeout is None and get_ident() in runner_threads and self.run():
            return
        with waiting_for(self.task_run):
            if self._latch.acquire(timeout=-1 if timeout is None else timeout):
                self._latch.release()

    async def wait_async(self) -> None:
        """As `wait`, without blocking the event loop."""
        import asyncio

        if self._state is not None:
            return
        loop = asyncio.get_running_loop()
        over = asyncio.Event()
        if get_ident() in runner_threads:
            await asyncio.to_thread(self.run)
        self.add_done_callback(lambda _: loop.call_soon_threadsafe(over.set))
        with waiting_for(self.task_run):
            await over.wait()

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> R:
        """The task's return value. Waits for it.

        Raises the task's exception (returns it with `raise_on_failure=False`), or TimeoutError
        when the task run is not over after `timeout` seconds.
        """
        self.wait(timeout)
        if self._state is None:
            raise TimeoutError(f"Task run {self.name!r} was not over after {timeout} seconds.")
        value: R = self._state.result(raise_on_failure)
        return value

    def add_done_callback(self, callback: "Callable[[TaskFuture[R]], object]") -> None:
        """Call `callback(future)` from the thread that ends the task run; at once if it is over."""
        self._callbacks.append(callback)
        if self._state is not None:
            self._call_back()

    def _finish(self, state: State) -> None:
        self._state = state
        self._latch.release()
        self._call_back()

    def _call_back(self) -> None:
        while self._callbacks:
            try:
                callback = self._callbacks.pop()  # atomic: no callback runs twice
            except IndexError:
                return
            callback(self)

    def __repr__(self) -> str:
        return f"TaskFuture({self.name!r}, {self.state.name})"


class FutureList(list[TaskFuture[R]]):
    """The futures of one `.map` call, in the order of its inputs."""

    def wait(self, timeout: float | None = None) -> None:
        """Return when all are over, or after `timeout` seconds."""
        wait(self, timeout)

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> list[R]:
        """All return values, in order.

        Raises the exception of one that failed as soon as it did (returns exceptions in their places with
        `raise_on_failure=False`), or TimeoutError when not all are over after `timeout` seconds.
        """
        for future in as_completed(self, timeout):
            future.result(raise_on_failure=raise_on_failure)
        return [future.result(raise_on_failure=raise_on_failure) for future in self]


class DoneAndNotDone(NamedTuple):
    """Futures that are done, and those that are not."""

    done: set[TaskFuture[Any]]
    not_done: set[TaskFuture[Any]]


def wait(futures: Iterable[TaskFuture[Any]], timeout: float | None = None) -> DoneAndNotDone:
    """Wait until all are done, or until `timeout` seconds have passed."""
    waiting = set(futures)
    deadline = _deadline(timeout)
    for future in waiting:
        future.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
    done = {future for future in waiting if future.done()}
    return DoneAndNotDone(done, waiting - done)


def as_completed(futures: Iterable[TaskFuture[R]], timeout: float | None = None) -> Iterator[TaskFuture[R]]:
    """The futures, each once, in the order in which they are done.

    Raises TimeoutError when not all of them are after `timeout` seconds, ValueError if that is negative.
    """
    from queue import Empty, SimpleQueue

    deadline = _deadline(timeout)
    done: SimpleQueue[TaskFuture[R]] = SimpleQueue()
    waiting = list(dict.fromkeys(futures))
    for future in waiting:
        future.add_done_callback(done.put)
    for number in range(len(waiting)):
        if deadline is None and done.empty() and get_ident() in runner_threads:
            any(future.run() for future in waiting)  # the first that has not begun, see TaskFuture.wait
        try:
            yield done.get(timeout=None if deadline is None else max(0.0, deadline - time.monotonic()))
        except Empty:
            left = f"{len(waiting) - number} of {len(waiting)}"
            raise TimeoutError(f"{left} task runs were not over after {timeout} seconds.") from None


def _deadline(timeout: float | None) -> float | None:
    if timeout is None:
        return None
    if timeout < 0:
        raise ValueError(f"timeout must be 0 or more seconds, not {timeout}.")
    return time.monotonic() + timeout


# Idents of the threads that runners made.
runner_threads: set[int] = set()
