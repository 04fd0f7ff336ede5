"""Errands in the database: put by a flow's process, claimed under a lease, answered, taken back.

All decisions are made by the database, on its clock. Each function is one statement, so that it can be a
transaction of its own. Commits need not be waited for: what a crash of PostgreSQL forgets is put again, or
looks like a process that was lost.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from flows.sdk.errand_counter import LEASE_SECONDS, Answered, NewErrand, Seen
from runs.session import Params, Row

# A lease that ends later than this from now is of before the clock was put back.
FARTHEST_SECONDS = LEASE_SECONDS + 3
IS_EXPIRED = f"""(lease_expires IS NOT NULL AND lease_expires NOT BETWEEN
    clock_timestamp() AND clock_timestamp() + interval '{FARTHEST_SECONDS} seconds')"""
MOST_ANSWERED_BYTES = 16 * 1024 * 1024  # at once, and one more answer

# Whoever says so: ids of another attempt's errands lead nowhere.
MINE = "id = ANY(%s) AND flow_run_id = %s AND attempt = %s"

EXCHANGE = f"""
WITH removed AS (
    DELETE FROM runs_errand WHERE {MINE}
), put AS (
    INSERT INTO runs_errand
        (id, workspace_id, flow_run_id, attempt, work_queue_id, task_run_id, task_key, name, for_agents,
         payload, worker, tries, lost, created)
    SELECT n.id, %s, %s, %s, %s, n.task_run_id, '', left(n.name, 200), true, n.payload, '', 0, '', now()
    FROM unnest(%s::uuid[], %s::uuid[], %s::text[], %s::bytea[]) AS n(id, task_run_id, name, payload)
    ON CONFLICT (id) DO NOTHING
)
SELECT id, answer, lost FROM (
    SELECT id, answer, lost, coalesce(sum(length(answer)) OVER before, 0) AS bytes_before
    FROM runs_errand WHERE {MINE} AND ended IS NOT NULL
    WINDOW before AS (ORDER BY ended, id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
) answered
WHERE bytes_before <= {MOST_ANSWERED_BYTES}
"""

# How many agents could help: those that serve the queue, as the registry counts them.
AGENTS = """
SELECT count(*) FROM agents_agent
WHERE queues @> ARRAY[%s::uuid] AND stopped IS NULL AND last_seen > now() - interval '20 seconds'
"""

LOOK = f"""
SELECT id, ended IS NOT NULL, holder IS NOT NULL,
       coalesce(extract(epoch FROM clock_timestamp() - claimed)::float8, 0),
       {IS_EXPIRED}, worker, extract(epoch FROM clock_timestamp())::float8
FROM runs_errand WHERE {MINE}
"""

REMOVE = f"DELETE FROM runs_errand WHERE {MINE}"
TAKE_BACK = f"DELETE FROM runs_errand WHERE {MINE} AND holder IS NULL AND ended IS NULL RETURNING id"

# The attempt that waits for the answer still owns its run. One that is being cancelled starts nothing more.
OWNED = """
EXISTS (SELECT FROM runs_flowrun r
        WHERE r.id = e.flow_run_id AND r.attempt = e.attempt AND r.lease_expires IS NOT NULL
          AND r.state_type <> 'CANCELLING')
"""

_CLAIM = f"""
UPDATE runs_errand e SET
    holder = %s, agent_id = %s, worker = %s, tries = e.tries + 1, claimed = clock_timestamp(),
    lease_expires = now() + interval '{LEASE_SECONDS} seconds'
FROM best WHERE e.id = best.id
RETURNING e.id, e.workspace_id, e.flow_run_id, e.attempt, e.work_queue_id, e.task_run_id, e.task_key, e.name,
          e.tries, e.payload
"""

_OF_A_QUEUE = """
FROM runs_errand e
WHERE e.work_queue_id = q.id AND e.holder IS NULL AND e.ended IS NULL
"""

# The oldest of each queue, of those the oldest: read from the index errand_claimable.
CLAIM_OF_FLOWS = f"""
WITH best AS (
    SELECT due.id
    FROM agents_workqueue q
    JOIN agents_workpool p ON p.id = q.work_pool_id AND p.type = 'agents'
    CROSS JOIN LATERAL (
        SELECT e.id {_OF_A_QUEUE} AND e.flow_run_id IS NOT NULL AND {OWNED}
        ORDER BY e.id LIMIT 1 FOR UPDATE OF e SKIP LOCKED) due
    WHERE q.id = ANY(%s)
    ORDER BY due.id LIMIT 1
)
{_CLAIM}
"""

CLAIM_IN_BACKGROUND = f"""
WITH best AS (
    SELECT due.id
    FROM agents_workqueue q
    JOIN agents_workpool p ON p.id = q.work_pool_id AND p.type = 'agents' AND NOT p.paused
    CROSS JOIN LATERAL (
        SELECT e.id {_OF_A_QUEUE} AND e.flow_run_id IS NULL AND e.for_agents
        ORDER BY e.id LIMIT 1 FOR UPDATE OF e SKIP LOCKED) due
    WHERE q.id = ANY(%s) AND NOT q.paused
    ORDER BY due.id LIMIT 1
)
{_CLAIM}
"""

CLAIM_BY_KEY = f"""
WITH best AS (
    SELECT e.id FROM runs_errand e
    WHERE e.workspace_id = %s AND e.task_key = ANY(%s)
      AND e.holder IS NULL AND e.ended IS NULL AND e.flow_run_id IS NULL
    ORDER BY e.id LIMIT 1 FOR UPDATE SKIP LOCKED
)
{_CLAIM}
"""

_NEXT = f"""
    SELECT e.id FROM runs_errand e
    WHERE e.work_queue_id = %s AND e.flow_run_id = %s AND e.attempt = %s
      AND e.holder IS NULL AND e.ended IS NULL AND {OWNED}
    ORDER BY e.id LIMIT 1 FOR UPDATE SKIP LOCKED
"""
CLAIM_NEXT = f"WITH best AS ({_NEXT}) {_CLAIM}"

RENEW = f"""
UPDATE runs_errand e SET lease_expires = now() + interval '{LEASE_SECONDS} seconds'
WHERE e.holder = %s AND e.ended IS NULL
RETURNING e.id, e.flow_run_id IS NULL OR {OWNED}
"""

# NOTIFY wakes the flow's process, which looks by itself when a wake gets lost.
ANSWER = """
UPDATE runs_errand SET answer = %s, lost = %s, ended = clock_timestamp(), lease_expires = NULL, payload = ''
WHERE id = %s AND holder = %s AND ended IS NULL
RETURNING pg_notify('portal_errands_' || replace(flow_run_id::text, '-', ''), id::text)
"""
ANSWER_AND_CLAIM_NEXT = f"WITH answered AS ({ANSWER}), best AS ({_NEXT}) {_CLAIM}"

HELD = "SELECT id FROM runs_errand WHERE holder = %s AND ended IS NULL"

# The attempt that put them has lost its run, and could not withdraw them.
REMOVE_ORPHANS = """
DELETE FROM runs_errand e
WHERE e.flow_run_id IS NOT NULL AND NOT EXISTS (
    SELECT FROM runs_flowrun r
    WHERE r.id = e.flow_run_id AND r.attempt = e.attempt AND r.lease_expires IS NOT NULL)
"""

# A claim whose connection broke before the answer came: the agent never learnt of it.
_FREE = "holder = NULL, agent_id = NULL, worker = '', claimed = NULL, lease_expires = NULL"
RELEASE = f"UPDATE runs_errand SET {_FREE} WHERE agent_id = %s AND holder IS NOT NULL AND ended IS NULL"
GIVE_BACK = f"UPDATE runs_errand SET {_FREE} WHERE holder = %s AND id <> %s AND ended IS NULL"


class Executes(Protocol):
    """A transaction, or a session for which each statement is one."""

    def execute(self, sql: str, params: Params = ()) -> list[Row]: ...


@dataclass(frozen=True, slots=True)
class Claimed:
    """An errand that its holder now carries out. `payload` is signed."""

    id: UUID
    workspace_id: UUID
    flow_run_id: UUID | None
    attempt: int
    work_queue_id: UUID
    task_run_id: UUID | None
    task_key: str
    name: str
    tries: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Holder:
    """Who claims: `id` names this process's stay at work, `agent_id` its agent, `worker` it to people."""

    id: UUID
    agent_id: UUID | None
    worker: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """The attempt that waits for the answers."""

    workspace_id: UUID
    flow_run_id: UUID
    number: int

    def mine(self, ids: Sequence[UUID]) -> Params:
        """For MINE."""
        return [list(ids), self.flow_run_id, self.number]


def channel(flow_run_id: UUID) -> str:
    """The PostgreSQL channel on which the process of this run hears of answers."""
    return f"portal_errands_{flow_run_id.hex}"


def exchange(
    tx: Executes,
    attempt: Attempt,
    work_queue_id: UUID,
    new: Sequence[NewErrand],
    done: Sequence[UUID],
    answered: Sequence[UUID],
) -> list[Answered]:
    """Put new errands into this queue, remove those that are done, and read the answered ones, some at a time
    if they are large. Safe to repeat."""
    columns = [[getattr(e, name) for e in new] for name in ("id", "task_run_id", "name", "payload")]
    who = [attempt.workspace_id, attempt.flow_run_id, attempt.number, work_queue_id]
    rows = tx.execute(EXCHANGE, [*attempt.mine(done), *who, *columns, *attempt.mine(answered)])
    return [Answered(id, None if answer is None else bytes(answer), lost) for id, answer, lost in rows]


def look(tx: Executes, attempt: Attempt, ids: Sequence[UUID]) -> dict[UUID, Seen]:
    """How it stands with these errands; what is missing is nowhere."""
    return {id: Seen(*row) for id, *row in tx.execute(LOOK, attempt.mine(ids))}


def remove(tx: Executes, attempt: Attempt, ids: Sequence[UUID]) -> None:
    """Nobody waits for these any more; whoever carries one out is killed for it."""
    tx.execute(REMOVE, attempt.mine(ids))


def take_back(tx: Executes, attempt: Attempt, id: UUID) -> bool:
    """Remove an errand that nobody has taken; False if somebody was faster."""
    return bool(tx.execute(TAKE_BACK, attempt.mine([id])))


def agents_serving(tx: Executes, work_queue_id: UUID) -> int:
    """How many agents that serve this queue were seen within 20 s."""
    count: int = tx.execute(AGENTS, [work_queue_id])[0][0]
    return count


def claim(tx: Executes, holder: Holder, queue_ids: Sequence[UUID], *, of_flows: bool) -> Claimed | None:
    """The oldest errand of these queues that a flow's process waits for; or else, a background task."""
    sql = CLAIM_OF_FLOWS if of_flows else CLAIM_IN_BACKGROUND
    return _claimed(tx.execute(sql, [list(queue_ids), holder.id, holder.agent_id, holder.worker]))


def claim_by_key(
    tx: Executes, holder: Holder, workspace_id: UUID, task_keys: Sequence[str]
) -> Claimed | None:
    """The oldest background task of one of these keys."""
    return _claimed(
        tx.execute(CLAIM_BY_KEY, [workspace_id, list(task_keys), holder.id, holder.agent_id, holder.worker])
    )


def answer(tx: Executes, holder: Holder, done: Claimed, answer: bytes | None, lost: str = "") -> None:
    """Answer an errand, if `holder` still has it: with what is signed, or why there is none."""
    tx.execute(ANSWER, [answer, lost, done.id, holder.id])


def answer_and_claim_next(
    tx: Executes, holder: Holder, done: Claimed, answer: bytes | None, lost: str = ""
) -> Claimed | None:
    """As `answer`, and `claim_next`."""
    same = [done.work_queue_id, done.flow_run_id, done.attempt]
    who = [holder.id, holder.agent_id, holder.worker]
    return _claimed(tx.execute(ANSWER_AND_CLAIM_NEXT, [answer, lost, done.id, holder.id, *same, *who]))


def claim_next(tx: Executes, holder: Holder, after: Claimed) -> Claimed | None:
    """Another errand of the attempt that `after` belongs to."""
    same = [after.work_queue_id, after.flow_run_id, after.attempt]
    return _claimed(tx.execute(CLAIM_NEXT, [*same, holder.id, holder.agent_id, holder.worker]))


def renew(tx: Executes, holder_id: UUID) -> dict[UUID, bool]:
    """Extend the leases of what this holder has; for each errand, whether anybody still waits for it."""
    return dict(tx.execute(RENEW, [holder_id]))


def lose(tx: Executes, holder_id: UUID, why: str) -> int:
    """Say of all that this holder has that there will be no answer; return how many that were."""
    held = tx.execute(HELD, [holder_id])
    for (id,) in held:
        tx.execute(ANSWER, [None, why, id, holder_id])
    return len(held)


def release(tx: Executes, agent_id: UUID) -> None:
    """Give back what this agent claimed but never began; for an agent that carries nothing out now."""
    tx.execute(RELEASE, [agent_id])


def give_back(tx: Executes, holder_id: UUID, but: UUID) -> None:
    """Let others have what this holder claimed, but never learnt of; it knows of `but`."""
    tx.execute(GIVE_BACK, [holder_id, but])


def remove_orphans(tx: Executes) -> None:
    """Remove the errands of attempts that have lost their run."""
    tx.execute(REMOVE_ORPHANS)


def _claimed(rows: Sequence[Row]) -> Claimed | None:
    if not rows:
        return None
    *columns, payload = rows[0]
    columns.append(bytes(payload))
    return Claimed(*columns)
