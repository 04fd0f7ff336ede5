"""Background tasks in the database: task runs outside of flows, and the errands that carry them out.

A task run and its errand have one id. Whoever holds the errand reports the states; every claim is a new
attempt, and reports of earlier ones are refused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from flows.sdk.errand_counter import LEASE_SECONDS
from flows.sdk.ids import uuid7
from flows.sdk.recorder import LogLine
from flows.sdk.states import Cancelled, Crashed, Scheduled, State, StateType
from runs import announce
from runs.batch import record_lines
from runs.errands import IS_EXPIRED
from runs.models import Errand
from runs.session import Transaction
from runs.storable import clean

MOST_TRIES = 3  # of a task whose worker died each time
KEEP_RESULTS_DAYS = 7
KEEP_RUNS_DAYS = 30

_HISTORY = """
INSERT INTO runs_taskrunstate
    (id, task_run_id, flow_run_id, type, name, message, timestamp, attempt, sequence)
"""

CREATE = f"""
WITH made AS (
    INSERT INTO runs_taskrun
        (id, workspace_id, task_key, dynamic_key, name, tags, task_inputs, state_id, state_type, state_name,
         state_message, state_timestamp, total_run_time, run_count, attempt, sequence, version, created)
    VALUES (%(id)s, %(workspace_id)s, %(task_key)s, %(dynamic_key)s, %(name)s, %(tags)s, '{{}}', %(state_id)s,
            'SCHEDULED', 'Scheduled', '', now(), 0, 0, 0, 0, 0, now())
    ON CONFLICT (id) DO NOTHING
    RETURNING id
), history AS (
    {_HISTORY} SELECT %(state_id)s, id, NULL, 'SCHEDULED', 'Scheduled', '', now(), 0, 0 FROM made
)
INSERT INTO runs_errand
    (id, workspace_id, attempt, work_queue_id, task_run_id, task_key, name, for_agents, payload, worker,
     tries, lost, created)
SELECT id, %(workspace_id)s, 0, %(queue_id)s, id, %(task_key)s, %(name)s, %(for_agents)s, %(payload)s, '',
       0, '', now()
FROM made
RETURNING id
"""

HOLD = "SELECT tries FROM runs_errand WHERE id = %s AND holder = %s AND ended IS NULL FOR UPDATE"

ENTER = f"""
WITH history AS (
    {_HISTORY}
    VALUES (%(state_id)s, %(id)s, NULL, %(type)s, %(name)s, %(message)s, %(timestamp)s, %(attempt)s,
            %(sequence)s)
    ON CONFLICT (id) DO NOTHING
)
UPDATE runs_taskrun SET
    state_id = %(state_id)s, state_type = %(type)s, state_name = %(name)s, state_message = %(message)s,
    state_timestamp = %(timestamp)s, run_count = %(run_count)s, start_time = %(start_time)s,
    end_time = %(end_time)s, total_run_time = %(total_run_time)s, attempt = %(attempt)s,
    sequence = %(sequence)s
WHERE id = %(id)s AND (attempt, sequence) < (%(attempt)s, %(sequence)s)
"""

# A change from outside: one more than what was last reported.
ENTER_FROM_OUTSIDE = f"""
WITH changed AS (
    UPDATE runs_taskrun SET
        state_id = %(state_id)s, state_type = %(type)s, state_name = %(name)s, state_message = %(message)s,
        state_timestamp = %(timestamp)s, end_time = %(end_time)s, sequence = sequence + 1
    WHERE id = %(id)s
    RETURNING id, attempt, sequence
)
{_HISTORY}
SELECT %(state_id)s, id, NULL, %(type)s, %(name)s, %(message)s, %(timestamp)s, attempt, sequence FROM changed
"""

# What did not complete keeps its call: it may be made again.
END = """
UPDATE runs_errand SET
    answer = %s, ended = clock_timestamp(), lease_expires = NULL,
    payload = CASE WHEN %s THEN payload ELSE '' END
WHERE id = %s
"""

RETRY = """
UPDATE runs_errand SET
    answer = NULL, ended = NULL, holder = NULL, agent_id = NULL, worker = '', claimed = NULL, lost = ''
WHERE id = %s AND workspace_id = %s AND flow_run_id IS NULL AND ended IS NOT NULL AND payload <> ''
RETURNING work_queue_id, for_agents
"""

RENEW = f"""
UPDATE runs_errand SET lease_expires = now() + interval '{LEASE_SECONDS} seconds'
WHERE id = ANY(%s) AND holder = %s AND ended IS NULL
RETURNING id
"""

FREE = """
UPDATE runs_errand SET holder = NULL, agent_id = NULL, worker = '', claimed = NULL, lease_expires = NULL,
    for_agents = for_agents AND %s
WHERE id = %s
"""

HELD_BY = """
SELECT id, tries, worker FROM runs_errand
WHERE holder = %s AND ended IS NULL AND flow_run_id IS NULL FOR UPDATE
"""

EXPIRED = f"""
SELECT id, tries, worker FROM runs_errand
WHERE {IS_EXPIRED} AND ended IS NULL AND flow_run_id IS NULL
ORDER BY id LIMIT 100 FOR UPDATE SKIP LOCKED
"""

CANCEL = """
DELETE FROM runs_errand WHERE id = %s AND workspace_id = %s AND flow_run_id IS NULL AND ended IS NULL
RETURNING id
"""

WAITING_QUEUES = """
SELECT work_queue_id, count(*) FROM (
    SELECT work_queue_id FROM runs_errand
    WHERE holder IS NULL AND ended IS NULL AND flow_run_id IS NULL AND for_agents
    LIMIT 1000
) waiting
GROUP BY 1
"""

REMOVE_RESULTS = """
DELETE FROM runs_errand WHERE ended < now() - make_interval(days => %s) AND flow_run_id IS NULL
"""

REMOVE_RUNS = """
WITH gone AS (
    DELETE FROM runs_taskrun
    WHERE workspace_id IS NOT NULL AND flow_run_id IS NULL AND end_time < now() - make_interval(days => %s)
    RETURNING id
)
DELETE FROM runs_taskrunstate WHERE task_run_id IN (SELECT id FROM gone)
"""


@dataclass(frozen=True, slots=True)
class NewTask:
    """A call of a task to be made in the background. `payload` is signed, as `flows.sdk.sealing` says."""

    id: UUID
    workspace_id: UUID
    queue_id: UUID
    task_key: str
    name: str
    tags: Sequence[str]
    for_agents: bool
    payload: bytes


def create(tx: Transaction, new: NewTask) -> bool:
    """Store the task run, Scheduled, and its errand; False if that was done before."""
    fields = {name: getattr(new, name) for name in NewTask.__slots__}
    fields |= {"dynamic_key": new.id.hex[-8:], "tags": list(new.tags), "state_id": uuid7()}
    return bool(tx.execute(CREATE, fields))


def report(
    tx: Transaction,
    id: UUID,
    holder: UUID,
    states: Sequence[Mapping[str, Any]],
    lines: Sequence[Mapping[str, Any]],
    answer: bytes | None,
) -> bool:
    """Store what the holder says became of the task run; `answer`, signed, ends it.

    Its log lines stand under its own id, where those of others stand under their flow run's.

    False, and nothing stored, when somebody else holds it now. Safe to repeat until it is answered.
    """
    held = tx.execute(HOLD, [id, holder])
    if not held:
        return False
    for state in states:
        fields = {**state, "id": id, "state_id": state["id"], "attempt": held[0][0]}
        tx.execute(ENTER, {**fields, "message": clean(state["message"])})
    if lines:
        record_lines(tx, [(line["id"], _line(id, line)) for line in lines])
    if answer is not None:
        is_completed = bool(states) and states[-1]["type"] == StateType.COMPLETED
        tx.execute(END, [answer, not is_completed, id])
    return True


def _line(id: UUID, line: Mapping[str, Any]) -> LogLine:
    return LogLine(id, id, line["timestamp"], line["level"], line["name"], line["message"])


def renew(tx: Transaction, ids: Sequence[UUID], holder: UUID) -> list[UUID]:
    """Extend the leases of these errands; return those that the holder still has."""
    return [id for (id,) in tx.execute(RENEW, [list(ids), holder])]


def refuse(tx: Transaction, id: UUID, holder: UUID, reason: str, is_final: bool) -> bool:
    """The holder cannot open the call: it waits for a process that serves its task, or crashes.

    False when somebody else holds it now.
    """
    if not tx.execute(HOLD, [id, holder]):
        return False
    if is_final:
        _crash(tx, id, f"Its worker cannot load the call: {reason}")
    else:
        tx.execute(FREE, [False, id])
        text = f"An agent could not load it: {reason}. It waits for a process that serves its task."
        _enter(tx, id, Scheduled(message=text))
    return True


def lose(tx: Transaction, holder: UUID, why: str) -> int:
    """This holder is gone: others may have what it had. Returns how many those are."""
    held = tx.execute(HELD_BY, [holder])
    for id, tries, _ in held:
        _give_back(tx, id, tries, why)
    return len(held)


def give_back_expired(tx: Transaction) -> int:
    """Let others have the tasks of workers that stopped responding; return how many those are."""
    expired = tx.execute(EXPIRED)
    for id, tries, worker in expired:
        _give_back(tx, id, tries, f"{worker} stopped responding.")
    return len(expired)


def _give_back(tx: Transaction, id: UUID, tries: int, why: str) -> None:
    if tries >= MOST_TRIES:
        _crash(tx, id, f"{why} It was the worker of try {tries}, and there will be no other.")
    else:
        tx.execute(FREE, [True, id])
        _enter(tx, id, Scheduled(message=f"{why} The next one takes it."))


def cancel(tx: Transaction, id: UUID, workspace_id: UUID) -> bool:
    """End a task run that is not over; an agent that is at it is stopped. False if there is none."""
    if not tx.execute(CANCEL, [id, workspace_id]):
        return False
    _enter(tx, id, Cancelled())
    return True


def retry(tx: Transaction, id: UUID, workspace_id: UUID, who: str) -> bool:
    """Make the call of a task run that failed or crashed again. False if it did not, or its call is gone."""
    found = tx.execute(RETRY, [id, workspace_id])
    if not found:
        return False
    _enter(tx, id, Scheduled(message=f"Retried by {who}."))
    queue_id, for_agents = found[0]
    if for_agents:
        tx.on_commit(lambda: announce.ring(queue_id))
    return True


def is_any_waiting(workspace_id: UUID, task_keys: Sequence[str]) -> bool:
    """Whether somebody may claim a task of one of these keys."""
    waiting = Errand.objects.filter(holder=None, ended=None, flow_run=None)
    return waiting.filter(workspace_id=workspace_id, task_key__in=task_keys).exists()


def waiting_queues(tx: Transaction) -> dict[UUID, int]:
    """In which queues tasks wait for agents, and how many (1,000 at most)."""
    return dict(tx.execute(WAITING_QUEUES))


def remove_old(tx: Transaction) -> None:
    """Forget the results of tasks that were over 7 days ago, and after 30 days the tasks."""
    tx.execute(REMOVE_RESULTS, [KEEP_RESULTS_DAYS])
    tx.execute(REMOVE_RUNS, [KEEP_RUNS_DAYS])


def _crash(tx: Transaction, id: UUID, message: str) -> None:
    tx.execute(END, [None, True, id])
    _enter(tx, id, Crashed(message=message))


def _enter(tx: Transaction, id: UUID, state: State) -> None:
    tx.execute(
        ENTER_FROM_OUTSIDE,
        {
            "id": id,
            "state_id": state.id,
            "type": state.type.value,
            "name": state.name,
            "message": clean(state.message),
            "timestamp": state.timestamp,
            "end_time": state.timestamp if state.is_terminal() else None,
        },
    )
