"""The recorder of an agent's process: reports the engine's runs to PostgreSQL.

Task states, logs and artifacts wait in a bounded queue; one thread writes them in batches. Flow-run
states are written by the caller's thread, a terminal one together with all that is queued.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

from flows.sdk.ids import uuid7
from flows.sdk.recorder import (
    Aborted,
    FlowRunInfo,
    LogLine,
    NewArtifact,
    NewFlowRun,
    Status,
    TaskRunEvent,
    Verdict,
)
from flows.sdk.states import State
from runs import announce
from runs.batch import Batch, Written, record_batch
from runs.results import DatabaseResults, NewResult
from runs.session import PsycopgSession, Transaction, persistently
from runs.subflow import create_subflow_run
from runs.transition import keeps_lease, transition_in

logger = logging.getLogger(__name__)

Item = TaskRunEvent | tuple[UUID, LogLine] | NewArtifact | NewResult
Result = TypeVar("Result")

FLUSH_SECONDS = 0.1
BATCH_ITEMS = 1_000
MOST_QUEUED = 20_000


class DatabaseRecorder:
    """Reports one root run and its subflows, as attempt `attempt`.

    PostgreSQL may go away: writes are repeated until it is back, and user code goes on until the
    queue is full. `on_abort` is called once, from the writing thread, when the attempt has lost
    its run; the default only remembers it, so that the next call raises Aborted.
    """

    def __init__(
        self,
        session: PsycopgSession,
        run_id: UUID,
        attempt: int,
        on_abort: Callable[[], None] = lambda: None,
    ) -> None:
        self.run_id = run_id
        self.attempt = attempt
        self.results = DatabaseResults(self)
        self._session = session
        self._on_abort = on_abort
        self._queue: deque[Item] = deque()
        self._changed = threading.Condition()
        self._queued = 0  # items ever put in
        self._durable = 0  # items ever written
        self._hurry = False
        self._closed = False
        self._aborted: Aborted | None = None
        self._writing = threading.Lock()  # one batch at a time, so that they stay in order
        self._thread = threading.Thread(target=self._write_loop, name="recorder", daemon=True)
        self._thread.start()

    # The engine's side

    def task_event(self, event: TaskRunEvent) -> None:
        self._put(event)

    def log(self, line: LogLine) -> None:
        self._put((uuid7(), line))

    def artifact(self, artifact: NewArtifact) -> None:
        self._put(artifact)

    def result(self, result: NewResult) -> None:
        self._put(result)

    def begin(self, new: NewFlowRun) -> FlowRunInfo:
        """Create a subflow's run. What is queued goes first: the subflow refers to its task run."""
        return self.flush_with(lambda tx: create_subflow_run(tx, self.run_id, new))

    def transition(self, run_id: UUID, state: State) -> Verdict:
        if not keeps_lease(state):  # nothing can be written after it
            verdict = self.flush_with(lambda tx: self._propose(tx, run_id, state))
        else:
            verdict = self.transact(lambda tx: self._propose(tx, run_id, state))
        if verdict.status is Status.ABORT:
            self._abort(Aborted(verdict.reason))
        return verdict

    def flush(self) -> None:
        with self._changed:
            goal = self._queued
            self._hurry = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._durable >= goal or self._aborted)
        self._raise_if_aborted()

    def close(self) -> None:
        if self._closed:
            return
        try:
            self.flush()
        finally:
            with self._changed:
                self._closed = True
                self._changed.notify_all()
            self._thread.join()
            self._session.close()

    # The writing side

    def _put(self, item: Item) -> None:
        with self._changed:
            if len(self._queue) >= MOST_QUEUED:
                self._changed.wait_for(lambda: len(self._queue) < MOST_QUEUED or self._aborted)
            self._raise_if_aborted()
            self._queue.append(item)
            self._queued += 1
            if len(self._queue) == 1 or len(self._queue) == BATCH_ITEMS:
                self._changed.notify_all()

    def _write_loop(self) -> None:
        while self._wait_for_work():
            try:
                self.flush_with(lambda tx: None, most=BATCH_ITEMS)
            except Aborted:
                return
            except Exception:
                logger.exception("A batch cannot be written; the run is given up")
                self._abort(Aborted("a batch could not be written"))
                return

    def _wait_for_work(self) -> bool:
        """Wait for the first item, then for more of them or for the flush time."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closed)
            self._changed.wait_for(
                lambda: len(self._queue) >= BATCH_ITEMS or self._hurry or self._closed, FLUSH_SECONDS
            )
            return bool(self._queue) or not self._closed

    def flush_with(self, also: Callable[[Transaction], Result], most: int | None = None) -> Result:
        """Write what is queued (at most `most` items) and, in the same transaction, `also`."""
        with self._writing:
            items = self._take(most)
            batch = _batch_of(items)

            def work(tx: Transaction) -> Result:
                if batch:
                    written = record_batch(tx, self.run_id, self.attempt, batch)
                    tx.on_commit(lambda: self._publish(written))
                return also(tx)

            try:
                result = self.transact(work)
            except Aborted as aborted:
                self._abort(aborted)
                raise
            except BaseException:  # a signal reached this thread: the items are written next time
                self._put_back(items)
                raise
            self._note_durable(len(items))
            self.results.note_durable(batch.results)
        return result

    def _take(self, most: int | None) -> list[Item]:
        with self._changed:
            count = len(self._queue) if most is None else min(most, len(self._queue))
            items = [self._queue.popleft() for _ in range(count)]
            self._changed.notify_all()
        return items

    def _put_back(self, items: list[Item]) -> None:
        with self._changed:
            self._queue.extendleft(reversed(items))

    def _note_durable(self, count: int) -> None:
        with self._changed:
            self._durable += count
            if self._durable >= self._queued:
                self._hurry = False
            self._changed.notify_all()

    def transact(self, work: Callable[[Transaction], Result]) -> Result:
        """Do `work` in a transaction, again and again while PostgreSQL is away."""
        return persistently(self._session, work)

    def _propose(self, tx: Transaction, run_id: UUID, state: State) -> Verdict:
        return transition_in(tx, run_id, state, attempt=self.attempt)

    def _publish(self, written: Written) -> None:
        announce.publish(
            announce.RunChanged(
                self.run_id,
                written.workspace_id,
                written.version,
                written.state_type,
                written.state_name,
            )
        )

    def _abort(self, aborted: Aborted) -> None:
        with self._changed:
            first = self._aborted is None
            self._aborted = self._aborted or aborted
            self._changed.notify_all()
        if first:
            self._on_abort()

    def _raise_if_aborted(self) -> None:
        if self._aborted is not None:
            raise self._aborted


def _batch_of(items: list[Item]) -> Batch:
    batch = Batch()
    for item in items:
        if isinstance(item, TaskRunEvent):
            batch.events.append(item)
        elif isinstance(item, NewArtifact):
            batch.artifacts.append(item)
        elif isinstance(item, NewResult):
            batch.results.append(item)
        else:
            batch.logs.append(item)
    return batch
