"""Reports that a process sends over the API about the run it executes.

Unlike an agent's own process, whoever reports here is only believed about that run: everything in a
report must belong to it.
"""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from flows.sdk.recorder import Aborted, Verdict
from flows.sdk.states import State, StateType
from runs.batch import Batch, record_batch
from runs.create import NewRun, insert_runs_in
from runs.results import unlock_result
from runs.session import Transaction
from runs.transition import transition_in

# greatest() ignores NULL: without lease_seconds, whoever claimed the run goes on keeping its lease.
RENEW = """
UPDATE runs_flowrun SET lease_expires = greatest(lease_expires, now() + make_interval(secs => %s))
WHERE id = %s AND attempt = %s AND lease_expires IS NOT NULL
RETURNING state_type
"""

JUST_ENDED = """
SELECT id FROM runs_flowrun WHERE id = %s AND attempt = %s AND end_time > now() - interval '1 minute'
"""

OWN = """
UPDATE runs_flowrun SET attempt = 1, lease_expires = now() + make_interval(secs => %s), updated = now()
WHERE id = %s AND attempt = 0
"""

FOREIGN_RUNS = """
SELECT id FROM unnest(%s::uuid[]) AS given(id)
WHERE NOT EXISTS (SELECT FROM runs_flowrun r WHERE r.id = given.id AND %s IN (r.id, r.root_run_id)) LIMIT 1
"""

FOREIGN_TASK_RUNS = """
SELECT t.id FROM runs_taskrun t JOIN runs_flowrun r ON r.id = t.flow_run_id
WHERE t.id = ANY(%s) AND r.id <> %s AND r.root_run_id IS DISTINCT FROM %s LIMIT 1
"""


class ForeignPart(ValueError):
    """A report speaks of a flow run or task run that is no part of the reported run."""


@dataclass(slots=True)
class Report:
    """What happened since the last report. `proposal` is a state of a flow run.

    `lease_seconds` renews the run's lease; None if somebody else keeps it. `unlock` is the lock of a
    result (hash of its key, holder) to let go of.
    """

    batch: Batch = field(default_factory=Batch)
    proposal: tuple[UUID, State] | None = None
    lease_seconds: float | None = None
    unlock: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of the proposal, if there was one, and whether somebody cancels the run."""

    verdict: Verdict | None
    cancelling: bool


def create_owned_run(tx: Transaction, new: NewRun, lease_seconds: float | None) -> bool:
    """Create a run that its creator executes as attempt 1, and keeps by reporting within each lease.

    With None it has no lease and cannot be reported on. False if there is a run with its id already.
    """
    made = insert_runs_in(tx, [new])
    if made and lease_seconds is not None:
        tx.execute(OWN, [lease_seconds, new.id])
    return bool(made)


def accept_report(tx: Transaction, run_id: UUID, attempt: int, report: Report) -> Answer:
    """Write a report of attempt `attempt` of the root run `run_id`, all or nothing; safe to repeat.

    Raises Aborted when that attempt no longer owns the run, and ForeignPart.
    """
    rows = tx.execute(RENEW, [report.lease_seconds, run_id, attempt])
    if not rows:
        return _after_the_end(tx, run_id, attempt, report)
    _check_belonging(tx, run_id, report)
    if report.batch:
        record_batch(tx, run_id, attempt, report.batch)
    if report.unlock:
        unlock_result(tx, run_id, *report.unlock)
    return Answer(_propose(tx, attempt, report), rows[0][0] == StateType.CANCELLING.value)


def _propose(tx: Transaction, attempt: int, report: Report) -> Verdict | None:
    if report.proposal is None:
        return None
    return transition_in(tx, *report.proposal, attempt=attempt)


def _after_the_end(tx: Transaction, run_id: UUID, attempt: int, report: Report) -> Answer:
    """The attempt has no lease any more: it may repeat its last report, and log what its hooks do."""
    if report.proposal and report.proposal[0] == run_id:
        return Answer(_propose(tx, attempt, report), False)
    ended_now = bool(tx.execute(JUST_ENDED, [run_id, attempt]))
    if not (ended_now and report.batch) or report.batch.subflows or report.proposal:
        raise Aborted(f"attempt {attempt} no longer owns flow run {run_id}")
    _check_belonging(tx, run_id, report)
    record_batch(tx, run_id, attempt, report.batch)
    return Answer(None, False)


def _check_belonging(tx: Transaction, run_id: UUID, report: Report) -> None:
    runs, task_runs = _mentioned(report)
    if runs - {run_id} and (found := tx.execute(FOREIGN_RUNS, [sorted(runs), run_id])):
        raise ForeignPart(f"flow run {found[0][0]} is no part of flow run {run_id}")
    if task_runs and (found := tx.execute(FOREIGN_TASK_RUNS, [sorted(task_runs), run_id, run_id])):
        raise ForeignPart(f"task run {found[0][0]} is no part of flow run {run_id}")


def _mentioned(report: Report) -> tuple[set[UUID], set[UUID]]:
    """The ids of all flow runs and of all task runs in a report."""
    batch = report.batch
    pairs: list[tuple[UUID, UUID | None]]
    pairs = [(event.flow_run_id, event.task_run_id) for event in batch.events]
    pairs += [(artifact.flow_run_id, artifact.task_run_id) for artifact in batch.artifacts]
    pairs += [(line.flow_run_id, line.task_run_id) for _, line in batch.logs]
    runs = {flow_run_id for flow_run_id, _ in pairs}
    task_runs = {task_run_id for _, task_run_id in pairs if task_run_id}
    parents = (subflow.run.parent_task_run_id for subflow in batch.subflows)
    task_runs.update(parent for parent in parents if parent)
    if report.proposal:
        runs.add(report.proposal[0])
    return runs, task_runs


def is_time(text: object) -> bool:
    """Whether a state's details may hold this as a time."""
    try:
        return datetime.fromisoformat(str(text)).tzinfo is not None
    except ValueError:
        return False
