"""The recorder of an agent's process: reports the engine's runs to PostgreSQL.

New subflows, task states, logs, artifacts and results wait in a bounded queue; one thread writes them in
batches. Flow-run states are written by the caller's thread: the first of a subflow, and a terminal one,
together with all that is queued.
"""

from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

from flows.sdk.batching import BatchQueue
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
from flows.sdk.states import TERMINAL, State, keeps_process
from runs.batch import Batch, record_batch
from runs.results import DatabaseResults, NewResult
from runs.session import PsycopgSession, Transaction, persistently
from runs.subflow import NewSubflow
from runs.transition import transition_in

Item = TaskRunEvent | tuple[UUID, LogLine] | NewArtifact | NewResult | NewSubflow
Result = TypeVar("Result")


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
        result_scope: UUID | None = None,
        workspace_id: UUID | None = None,
        let_go: Callable[[], None] | None = None,
    ) -> None:
        """`let_go` is called in the end, instead of closing the session."""
        self.run_id = run_id
        self.attempt = attempt
        self.result_scope = result_scope or run_id
        self.results = DatabaseResults(self, workspace_id)
        self._session = session
        self._let_go = let_go or session.close
        self._proposed_end = False
        self._without_state: set[UUID] = set()  # subflows that have begun
        self._queue: BatchQueue[Item] = BatchQueue(
            lambda items: self._write(items, lambda tx: None), on_abort, weigh=_weight
        )

    def task_event(self, event: TaskRunEvent) -> None:
        self._queue.put(event)

    def log(self, line: LogLine) -> None:
        self._queue.put((uuid7(), line))

    def artifact(self, artifact: NewArtifact) -> None:
        self._queue.put(artifact)

    def result(self, result: NewResult) -> None:
        self._queue.put(result)

    def begin(self, new: NewFlowRun) -> FlowRunInfo:
        """Queue a subflow's run behind its task run: it is written with its first state."""
        self._without_state.add(new.id)
        self._queue.put(NewSubflow(new))
        return FlowRunInfo.of(new, root_run_id=self.run_id)

    def transition(self, run_id: UUID, state: State) -> Verdict:
        # Its row may be queued, or nothing can be written after this.
        if run_id in self._without_state or not keeps_process(state):
            verdict = self.flush_with(lambda tx: self._propose(tx, run_id, state))
            self._without_state.discard(run_id)
        else:
            verdict = self.transact(lambda tx: self._propose(tx, run_id, state))
        if verdict.status is Status.ABORT:
            self._queue.abort(Aborted(verdict.reason))
        return verdict

    def flush(self) -> None:
        self._queue.flush()

    def close(self) -> None:
        try:
            self._queue.close()
        finally:
            self._let_go()

    def flush_with(self, also: Callable[[Transaction], Result]) -> Result:
        """Write what is queued and, in the same transaction, `also`."""
        return self._queue.send_all(lambda items: self._write(items, also))

    def transact(self, work: Callable[[Transaction], Result]) -> Result:
        """Do `work` in a transaction, again and again while PostgreSQL is away."""
        return persistently(self._session, work)

    def _write(self, items: list[Item], also: Callable[[Transaction], Result]) -> Result:
        batch = _batch_of(items)

        def work(tx: Transaction) -> Result:
            if batch:
                written = record_batch(tx, self.run_id, self.attempt, batch)
                self._refuse_foreign_end(written.state_type)
            return also(tx)

        result = self.transact(work)
        self.results.note_durable(batch.results)
        return result

    def _refuse_foreign_end(self, state_type: str) -> None:
        """Logs are taken after the end, for hooks. But if somebody else ended the run, this process, whose
        agent must be standing still, was given up: it has to stop."""
        if state_type in TERMINAL and not self._proposed_end:
            raise Aborted(f"flow run {self.run_id} was ended from outside: it is {state_type}")

    def _propose(self, tx: Transaction, run_id: UUID, state: State) -> Verdict:
        if run_id == self.run_id and state.is_terminal():
            self._proposed_end = True
        return transition_in(tx, run_id, state, attempt=self.attempt)


def _weight(item: Item) -> int:
    """About how many bytes the item takes, where that can be much."""
    if isinstance(item, tuple):
        return len(item[1].message)
    return len(item.data) if isinstance(item, NewResult) else 0


def _batch_of(items: list[Item]) -> Batch:
    batch = Batch()
    for item in items:
        if isinstance(item, TaskRunEvent):
            batch.events.append(item)
        elif isinstance(item, NewArtifact):
            batch.artifacts.append(item)
        elif isinstance(item, NewResult):
            batch.results.append(item)
        elif isinstance(item, NewSubflow):
            batch.subflows.append(item)
        else:
            batch.logs.append(item)
    return batch
