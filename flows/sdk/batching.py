"""What recorders share: a bounded queue that one thread empties in batches, and patience with servers.

The queue keeps order: one batch is under way at a time, and what a caller sends himself (a terminal
state, a new subflow) goes together with all that was queued before it.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from flows.sdk.recorder import Aborted

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")

FLUSH_SECONDS = 0.1
BATCH_ITEMS = 1_000
MOST_QUEUED = 20_000
BATCH_BYTES = 8 << 20
MOST_QUEUED_BYTES = 32 << 20
FIRST_RETRY_SECONDS = 0.1
LAST_RETRY_SECONDS = 2.0


class BatchQueue(Generic[Item]):
    """Items on their way to `send`, which gets them in lists, in order, and repeats what fails by itself.

    `put` blocks when 20,000 items wait, or 32 MiB of them as `weigh` says. `send` raises Aborted when the
    attempt has lost its run: then `on_abort` is called once, and every later call raises it, too. With
    `idle_seconds`, `send` gets an empty list whenever nothing was queued for so long: a sign of life.
    """

    def __init__(
        self,
        send: Callable[[list[Item]], object],
        on_abort: Callable[[], None] = lambda: None,
        idle_seconds: float | None = None,
        weigh: Callable[[Item], int] = lambda item: 0,
    ) -> None:
        """`weigh` says how many bytes an item takes, about; it must always say the same of one."""
        self._send = send
        self._on_abort = on_abort
        self._weigh = weigh
        self._idle_seconds = idle_seconds
        self._queue: deque[Item] = deque()
        self._bytes = 0  # of what is in it
        self._changed = threading.Condition()
        self._queued = 0  # items ever put in
        self._durable = 0  # items ever sent
        self._hurry = False
        self._closed = False
        self._aborted: Aborted | None = None
        self._sending = threading.Lock()  # one batch at a time, so that they stay in order
        self._thread = threading.Thread(target=self._send_loop, name="recorder", daemon=True)
        self._thread.start()

    def put(self, item: Item) -> None:
        weight = self._weigh(item)
        with self._changed:
            if self._is_full():
                self._changed.wait_for(lambda: not self._is_full() or self._aborted)
            self._raise_if_aborted()
            self._queue.append(item)
            self._bytes += weight
            self._queued += 1
            count = len(self._queue)
            if count == 1 or count == BATCH_ITEMS or self._bytes - weight < BATCH_BYTES <= self._bytes:
                self._changed.notify_all()

    def _is_full(self) -> bool:
        return len(self._queue) >= MOST_QUEUED or self._bytes >= MOST_QUEUED_BYTES

    def _is_enough(self) -> bool:
        """Whether what waits makes a whole batch."""
        return len(self._queue) >= BATCH_ITEMS or self._bytes >= BATCH_BYTES

    def send_all(self, send: Callable[[list[Item]], Result], whole: bool = True) -> Result:
        """Call `send` in this thread with what is queued, or with one batch of it; return what it returns."""
        with self._sending:
            items = self._take(whole)
            try:
                result = send(items)
            except Aborted as aborted:
                self.abort(aborted)
                raise
            except BaseException:  # a signal reached this thread: the items are sent next time
                self._put_back(items)
                raise
            self._note_durable(len(items))
        return result

    def flush(self) -> None:
        """Return when everything put in before this call was sent. Raises Aborted."""
        with self._changed:
            goal = self._queued
            self._hurry = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._durable >= goal or self._aborted)
        self._raise_if_aborted()

    def close(self) -> None:
        """Flush, and end the thread. Safe to call twice."""
        if self._closed:
            return
        try:
            self.flush()
        finally:
            with self._changed:
                self._closed = True
                self._changed.notify_all()
            self._thread.join()

    def abort(self, aborted: Aborted) -> None:
        """Give up what is queued: this attempt has lost its run."""
        with self._changed:
            first = self._aborted is None
            self._aborted = self._aborted or aborted
            self._changed.notify_all()
        if first:
            self._on_abort()

    def _send_loop(self) -> None:
        while self._wait_for_work():
            try:
                self.send_all(self._send, whole=False)
            except Aborted:
                return
            except Exception as error:
                logger.exception("A batch cannot be written; the run is given up")
                self.abort(Aborted(f"a batch could not be written: {error}"))
                return

    def _wait_for_work(self) -> bool:
        """Wait for the first item (or the idle time), then for more of them or for the flush time."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closed or self._aborted, self._idle_seconds)
            if self._queue:
                self._changed.wait_for(
                    lambda: self._is_enough() or self._hurry or self._closed, FLUSH_SECONDS
                )
            return bool(self._queue) or not (self._closed or self._aborted)

    def _take(self, whole: bool) -> list[Item]:
        items: list[Item] = []
        taken = 0
        with self._changed:
            while self._queue and (whole or (len(items) < BATCH_ITEMS and taken < BATCH_BYTES)):
                items.append(self._queue.popleft())
                taken += self._weigh(items[-1])
            self._bytes -= taken
            self._changed.notify_all()
        return items

    def _put_back(self, items: list[Item]) -> None:
        with self._changed:
            self._queue.extendleft(reversed(items))
            self._bytes += sum(map(self._weigh, items))

    def _note_durable(self, count: int) -> None:
        with self._changed:
            self._durable += count
            if self._durable >= self._queued:
                self._hurry = False
            self._changed.notify_all()

    def _raise_if_aborted(self) -> None:
        if self._aborted is not None:
            raise self._aborted


def persistently(
    work: Callable[[], Result], away: type[Exception], server: str, patience: float | None = None
) -> Result:
    """Do `work` again and again, 0.1 to 2 s apart, while it raises `away`: `server` does not answer.

    Only for what may be repeated although it was done and only its answer got lost.
    Raises `away` itself after `patience` seconds (None: never).
    """
    delay = FIRST_RETRY_SECONDS
    deadline = None if patience is None else time.monotonic() + patience
    while True:
        try:
            return work()
        except away as error:
            if deadline is not None and time.monotonic() + delay > deadline:
                raise
            logger.warning("%s does not answer, trying again in %.1f s: %s", server, delay, error)
        time.sleep(delay)
        delay = min(delay * 2, LAST_RETRY_SECONDS)
