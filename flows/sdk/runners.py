"""Task runners: where submitted tasks run."""

import contextvars
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from queue import SimpleQueue
from threading import Lock, Thread, get_ident
from typing import TYPE_CHECKING, Any, Self

from flows.sdk.errands import ProcessLost
from flows.sdk.futures import TaskFuture, runner_threads
from flows.sdk.recorder import Recorder
from flows.sdk.signals import TerminationSignal
from flows.sdk.states import State
from flows.sdk.task_engine import TaskCall
from flows.sdk.timeouts import Limit

if TYPE_CHECKING:
    from flows.sdk.errands import Place

logger = logging.getLogger(__name__)


class ThreadPoolTaskRunner:
    """Runs submitted tasks in threads of this process.

    `max_workers` threads at most (default 250); they are started when there is more work than idle threads.
    Tasks that wait for other tasks cannot use up all threads: a waiting thread does the work itself.
    """

    def __init__(self, max_workers: int = 250) -> None:
        if max_workers < 1:
            raise ValueError(f"max_workers must be at least 1, not {max_workers}.")
        self.max_workers = max_workers
        self._queue: SimpleQueue[TaskFuture[Any] | None] = SimpleQueue()
        self._lock = Lock()
        self._threads = 0
        self._idle = 0
        self._open: set[TaskFuture[Any]] = set()
        self._closed = False

    def options(self) -> dict[str, Any]:
        """What it was made with."""
        return {"max_workers": self.max_workers}

    def duplicate(self) -> Self:
        """A fresh runner with the same options; every flow run has its own."""
        return type(self)(**self.options())

    def __reduce__(self) -> tuple[Any, ...]:
        """Sent to another process, as part of a flow, it is a fresh runner, too."""
        return partial(type(self), **self.options()), ()

    def place(self) -> "Place | None":
        """Where the functions of tasks are called; None: in the threads themselves."""
        return None

    def submit(self, call: TaskCall) -> TaskFuture[Any]:
        """Have the call finished in a thread, in a copy of the caller's context."""
        context = contextvars.copy_context()
        future: TaskFuture[Any] = TaskFuture(call.run, lambda: context.run(call.finish, self.place()))
        future.add_done_callback(self._open.discard)
        with self._lock:
            self._open.add(future)
            more = self._idle < self._queue.qsize() + 1 and self._threads < self.max_workers
            self._threads += more
        self._queue.put(future)
        if more:
            self._start_thread()
        return future

    def _start_thread(self) -> None:
        """One more, if the system has room; otherwise those that are there do its work, too."""
        try:
            Thread(target=self._serve, name="flows-task", daemon=True).start()
        except RuntimeError as error:
            with self._lock:
                self._threads -= 1
                few = self._threads
            if not few:
                raise
            logger.debug("%d threads do what is submitted, there is no room for more: %s", few, error)

    def unfinished(self) -> list[TaskFuture[Any]]:
        """Futures that are not done yet."""
        with self._lock:
            return list(self._open)

    def cancel_waiting(self, state: State) -> None:
        """End all task runs that have not begun in `state`."""
        for future in self.unfinished():
            future.cancel(state.anew())

    def cancel(self, state: State) -> None:
        """End all task runs that are not over in `state`; what runs in a thread is no longer reported."""
        self.cancel_waiting(state)
        for future in self.unfinished():
            future.task_run.enter(state.anew())

    def close(self) -> None:
        """Let the threads end once they have done what they are at."""
        with self._lock:
            self._closed = True
            threads, self._threads = self._threads, 0
        for _ in range(threads):
            self._queue.put(None)

    def _serve(self) -> None:
        runner_threads.add(get_ident())
        try:
            while self._serve_one():
                pass
        finally:
            runner_threads.discard(get_ident())

    def _serve_one(self) -> bool:
        """Do the next work; False when the runner was closed. Keeps no future while it waits."""
        future = self._next()
        if future is None:
            return False
        future.run()
        return True

    def _next(self) -> TaskFuture[Any] | None:
        with self._lock:
            self._idle += 1
        try:
            return self._queue.get()
        finally:
            with self._lock:
                self._idle -= 1


def checked_runner(given: Any) -> ThreadPoolTaskRunner:
    """The task runner of a flow that was given this one, or its class, or None."""
    made = given() if isinstance(given, type) else given
    if made is None:
        return ThreadPoolTaskRunner()
    if not isinstance(made, ThreadPoolTaskRunner):
        raise TypeError(f"task_runner must be one of flows.task_runners, not {given!r}.")
    return made


class RemoteTaskRunner(ThreadPoolTaskRunner, ABC):
    """The base of runners that call the functions of tasks in other processes.

    A thread of the flow's process sees each task run through, so that it has its states, retries, timeout and
    hooks from the same engine as any other; only the call of its function is sent.
    """

    def place(self) -> "RemoteTaskRunner | None":
        return self

    def prepare(self) -> None:
        """As `flows.sdk.errands.Place`. Raises TerminationSignal once the runner was closed."""
        with self._ours_if_closed():
            self._prepare()

    def carry_out(self, errand: bytes, recorder: Recorder, limit: Limit | None) -> bytes:
        """As `flows.sdk.errands.Place`. Raises TerminationSignal once the runner was closed."""
        with self._ours_if_closed():
            return self._carry_out(errand, recorder, limit)

    @abstractmethod
    def _prepare(self) -> None: ...

    @abstractmethod
    def _carry_out(self, errand: bytes, recorder: Recorder, limit: Limit | None) -> bytes: ...

    @contextmanager
    def _ours_if_closed(self) -> Iterator[None]:
        """A process that is lost once the runner was closed is no crash: we ended it."""
        try:
            yield
        except ProcessLost:
            if self._closed:
                raise TerminationSignal from None
            raise

    def _refuse_if_closed(self) -> None:
        """Called with the lock: a task run that was cancelled must not start anything any more."""
        if self._closed:
            raise TerminationSignal
