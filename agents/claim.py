"""Claiming: how an agent becomes the one process that owns a run, and stays it.

All decisions are made by the database, on its clock. A claim starts a new attempt and a lease;
the agent extends the lease while it lives, and every write of the attempt carries its number.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from uuid import UUID

from flows.sdk.ids import uuid7
from flows.sdk.recorder import FlowRunInfo
from runs.session import Row, Session

LEASE_SECONDS = 8


@dataclass(frozen=True, slots=True)
class Claimed:
    """A run that this agent now owns. `entrypoint` is empty if its deployment was deleted.

    `redo_from` is the task run from which on nothing of earlier attempts is used again.
    """

    run: FlowRunInfo
    workspace_id: UUID
    version: int
    entrypoint: str
    path: str
    redo_from: UUID | None = None


# A suspended or killed run is taken from a process that does not know of it; one that does ends by itself.
TAKEN = frozenset({"CANCELLED", "CRASHED", "SCHEDULED", "PAUSED"})


class Lease(Enum):
    """What a run's row says to the agent that claimed it."""

    HELD = "held"
    CANCELLING = "cancelling"  # held, and somebody asked for the end
    OVERDUE = "overdue"  # held, and its flow's timeout has passed
    OVER = "over"  # this attempt reported its end
    LOST = "lost"  # the run is not its any more: crashed by the reaper, killed, suspended, claimed again


def claimable(now: str) -> str:
    """The SQL of what may be claimed from queue `q` at `now`; the sweeper counts by it, too."""
    return f"""
    FROM runs_flowrun r
    LEFT JOIN flows_deployment d ON d.id = r.deployment_id
    WHERE r.work_queue_id = q.id
      AND r.state_type = 'SCHEDULED'
      AND r.lease_expires IS NULL
      AND r.expected_start_time <= {now}
      AND d.paused IS NOT TRUE
"""


_CLAIMABLE = claimable("now()")
_BEST_FIRST = "ORDER BY r.priority DESC, r.expected_start_time LIMIT 1"

# `queue` puts the queues in order by their best runs, each read from the index flowrun_claimable, so the
# cost does not grow with the backlog. `best` locks the first run that nobody else is just claiming;
# it visits the queues in that order and stops at the first that yields one.
CLAIM = f"""
WITH queue AS MATERIALIZED (
    SELECT q.id
    FROM agents_workqueue q
    JOIN agents_workpool p ON p.id = q.work_pool_id AND p.type = 'agents' AND NOT p.paused
    CROSS JOIN LATERAL (SELECT r.priority, r.expected_start_time {_CLAIMABLE} {_BEST_FIRST}) head
    WHERE q.id = ANY(%s) AND NOT q.paused
    ORDER BY q.priority, head.priority DESC, head.expected_start_time
), best AS (
    SELECT due.id
    FROM queue q
    CROSS JOIN LATERAL (SELECT r.id {_CLAIMABLE} {_BEST_FIRST} FOR UPDATE OF r SKIP LOCKED) due
    LIMIT 1
), claimed AS (
    UPDATE runs_flowrun r
    SET state_id = %s, state_type = 'PENDING', state_name = 'Pending', state_message = '',
        state_timestamp = clock_timestamp(), attempt = r.attempt + 1, agent_id = %s,
        lease_expires = now() + interval '{LEASE_SECONDS} seconds', claimed_time = clock_timestamp(),
        deployment_version = (SELECT d.version_number FROM flows_deployment d WHERE d.id = r.deployment_id),
        forked_time = NULL, loaded_time = NULL, infrastructure_pid = '',
        version = r.version + 1, updated = now()
    FROM best
    WHERE r.id = best.id
    RETURNING r.*
), history AS (
    INSERT INTO runs_flowrunstate
        (id, flow_run_id, type, name, message, timestamp, attempt, state_details)
    SELECT state_id, id, state_type, state_name, state_message, state_timestamp, attempt, '{{}}'
    FROM claimed
)
SELECT c.id, c.name, f.name, c.parameters, c.tags, c.run_count - c.resuming::int, c.crash_count, c.attempt,
       c.deployment_id, d.name, COALESCE(c.slot, c.expected_start_time), c.root_run_id, c.workspace_id,
       c.version, COALESCE(d.entrypoint, ''), COALESCE(d.path, ''),
       d.version, COALESCE(d.parameters, '{{}}'), q.name, p.name,
       COALESCE(d.job_variables, '{{}}') || c.job_variables, parent.id, parent.deployment_id,
       c.result_scope, c.redo_from
FROM claimed c
JOIN agents_workqueue q ON q.id = c.work_queue_id
JOIN agents_workpool p ON p.id = q.work_pool_id
JOIN flows_flow f ON f.id = c.flow_id
LEFT JOIN flows_deployment d ON d.id = c.deployment_id
LEFT JOIN runs_taskrun stand_in ON stand_in.id = c.parent_task_run_id
LEFT JOIN runs_flowrun parent ON parent.id = stand_in.flow_run_id
"""

_LOOK = """
SELECT attempt, lease_expires IS NOT NULL, state_type, coalesce(deadline < now(), false)
FROM runs_flowrun WHERE id = %s
"""
_RENEW = f"""
WITH renewed AS (
    UPDATE runs_flowrun SET lease_expires = now() + interval '{LEASE_SECONDS} seconds'
    WHERE id = %s AND attempt = %s AND lease_expires IS NOT NULL
) {_LOOK}
"""

# A claim whose connection broke before the answer came: the agent never learnt of it.
_RELEASE = """
WITH released AS (
    UPDATE runs_flowrun
    SET state_id = gen_random_uuid(), state_type = 'SCHEDULED', state_name = 'Scheduled',
        state_message = 'Given back: the agent lost its connection while claiming.',
        state_timestamp = clock_timestamp(), lease_expires = NULL, agent_id = NULL,
        version = version + 1, updated = now()
    WHERE agent_id = %s AND lease_expires IS NOT NULL AND state_type = 'PENDING'
    RETURNING *
)
INSERT INTO runs_flowrunstate (id, flow_run_id, type, name, message, timestamp, attempt, state_details)
SELECT state_id, id, state_type, state_name, state_message, state_timestamp, attempt, '{}' FROM released
RETURNING flow_run_id
"""


def claim(session: Session, agent_id: UUID, queue_ids: Sequence[UUID]) -> Claimed | None:
    """Take the best due run of these queues for this agent: PENDING, a new attempt, a lease.

    Lowest queue priority first, then highest run priority, then longest due. None: nothing is due,
    or what is due belongs to a paused queue, pool or deployment.
    """
    with session.transaction() as transaction:
        rows = transaction.execute(CLAIM, [list(queue_ids), uuid7(), agent_id])
    if not rows:
        return None
    run_id, name, flow_name, parameters, tags, run_count, crash_count, attempt, *rest = rows[0]
    deployment_id, deployment_name, scheduled, root_run_id, workspace_id, version, *code = rest
    entrypoint, path, deployment_version, deployment_parameters, work_queue_name, work_pool_name, *more = code
    job_variables, parent_run_id, parent_deployment_id, result_scope, redo_from = more
    run = FlowRunInfo(
        id=run_id,
        name=name,
        flow_name=flow_name,
        parameters=json.loads(parameters),
        tags=tuple(tags),
        run_count=run_count,
        crash_count=crash_count,
        attempt=attempt,
        deployment_id=deployment_id,
        deployment_name=deployment_name,
        scheduled_start_time=scheduled,
        root_run_id=root_run_id,
        deployment_version=deployment_version,
        deployment_parameters=json.loads(deployment_parameters),
        work_queue_name=work_queue_name,
        work_pool_name=work_pool_name,
        job_variables=json.loads(job_variables),
        parent_run_id=parent_run_id,
        parent_deployment_id=parent_deployment_id,
        result_scope=result_scope,
    )
    return Claimed(run, workspace_id, version, entrypoint, path, redo_from=redo_from)


def renew(session: Session, run_id: UUID, attempt: int) -> Lease:
    """Extend the lease of an attempt, if it still holds, and say what became of it."""
    with session.transaction() as transaction:
        rows = transaction.execute(_RENEW, [run_id, attempt, run_id])
    return _lease(rows, attempt)


def look(session: Session, run_id: UUID, attempt: int) -> Lease:
    """The same answer as `renew` gives, without extending the lease."""
    with session.transaction() as transaction:
        rows = transaction.execute(_LOOK, [run_id])
    return _lease(rows, attempt)


def _lease(rows: Sequence[Row], attempt: int) -> Lease:
    if not rows or rows[0][0] != attempt:
        return Lease.LOST
    _, leased, state_type, overdue = rows[0]
    if leased and state_type == "CANCELLING":
        return Lease.CANCELLING
    if leased:
        return Lease.OVERDUE if overdue else Lease.HELD
    return Lease.LOST if state_type in TAKEN else Lease.OVER


def release(session: Session, agent_id: UUID) -> list[UUID]:
    """Give back what this agent claimed but never started; return the ids of those runs.

    For an agent that runs nothing and does not know whether its last claim was committed.
    """
    with session.transaction() as transaction:
        return [run_id for (run_id,) in transaction.execute(_RELEASE, [agent_id])]
