"""Claiming: how an agent becomes the one process that owns a run, and stays it.

All decisions are made by the database, on its clock. A claim starts a new attempt and a lease;
the agent extends the lease while it lives, and every write of the attempt carries its number.
"""

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any
from uuid import UUID

from agents.claimable import IN_ORDER, LIVE_AND_SHUT, OPEN_QUEUE, UNDER_WAY, claimable
from flows.sdk.execution import Order
from flows.sdk.ids import uuid7
from flows.sdk.recorder import FlowRunInfo
from runs.lineage import Call
from runs.retrying import reusable_calls
from runs.session import Row, Session, Transaction

Transact = Callable[[Callable[[Transaction], frozenset[Call]]], frozenset[Call]]

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
    is_isolated: bool = False  # its pool wants an interpreter of its own for each run


# A suspended or killed run is taken from a process that does not know of it; one that does ends by itself.
TAKEN = frozenset({"CANCELLED", "CRASHED", "SCHEDULED", "PAUSED"})


class Lease(Enum):
    """What a run's row says to the agent that claimed it."""

    HELD = "held"
    CANCELLING = "cancelling"  # held, and somebody asked for the end
    OVERDUE = "overdue"  # held, and its flow's timeout has passed
    OVER = "over"  # this attempt reported its end
    LOST = "lost"  # the run is not its any more: crashed by the reaper, killed, suspended, claimed again


_CLAIMABLE = claimable("now()")
_FIRST = f"ORDER BY {IN_ORDER} LIMIT 1"

# `queue` puts the open queues in order by their first runs, each read from the index flowrun_in_order, so
# the cost does not grow with the backlog. `best` locks the first run that nobody else is just claiming;
# it visits the queues in that order and stops at the first that yields one. The commit waits for the disk:
# a claim that a crash of PostgreSQL forgot would be made again under the same number of attempt.
CLAIM = f"""
WITH {LIVE_AND_SHUT}, busy AS (
    SELECT workspace_id, sum(runs) AS runs FROM live GROUP BY 1
), queue AS MATERIALIZED (
    SELECT q.id
    FROM agents_workqueue q
    JOIN agents_workpool p ON p.id = q.work_pool_id
    LEFT JOIN busy ON busy.workspace_id = p.workspace_id
    CROSS JOIN LATERAL (SELECT {IN_ORDER} AS place {_CLAIMABLE} {_FIRST}) head
    WHERE q.id = ANY(%s) AND {OPEN_QUEUE}
    ORDER BY coalesce(busy.runs, 0), coalesce(array_position(%s::uuid[], p.workspace_id), 0),
        q.priority, head.place
), best AS (
    SELECT due.id
    FROM queue q
    CROSS JOIN LATERAL (SELECT r.id {_CLAIMABLE} {_FIRST} FOR UPDATE OF r SKIP LOCKED) due
    LIMIT 1
), claimed AS (
    UPDATE runs_flowrun r
    SET state_id = %s, state_type = 'PENDING', state_name = 'Pending', state_message = '',
        state_timestamp = greatest(clock_timestamp(), r.state_timestamp),
        attempt = r.attempt + 1, agent_id = %s,
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
SELECT coalesce(d.concurrency_limit, q.concurrency_limit, p.concurrency_limit) IS NOT NULL, q.id, p.id,
       c.id, c.name, f.name, c.parameters, c.tags, c.run_count - c.resuming::int, c.crash_count, c.attempt,
       c.deployment_id, d.name, COALESCE(c.slot, c.expected_start_time), c.root_run_id, c.workspace_id,
       c.version, COALESCE(d.entrypoint, ''), COALESCE(d.path, ''),
       d.version, COALESCE(d.parameters, '{{}}'), q.name, p.name,
       COALESCE(d.job_variables, '{{}}') || c.job_variables, parent.id, parent.deployment_id,
       c.result_scope, c.redo_from, p.type = 'process'
FROM claimed c
JOIN agents_workqueue q ON q.id = c.work_queue_id
JOIN agents_workpool p ON p.id = q.work_pool_id
JOIN flows_flow f ON f.id = c.flow_id
LEFT JOIN flows_deployment d ON d.id = c.deployment_id
LEFT JOIN runs_taskrun stand_in ON stand_in.id = c.parent_task_run_id
LEFT JOIN runs_flowrun parent ON parent.id = stand_in.flow_run_id
"""

# Two agents that claim at once each count without the other. So whoever claimed where there is a limit
# takes its locks, in one order, and counts again in a statement of its own: that one sees all who had
# the locks before.
LOCK_LIMITS = """
SELECT pg_advisory_xact_lock(key) FROM (
    SELECT DISTINCT hashtextextended(id::text, 0) AS key FROM unnest(%s::uuid[]) AS id ORDER BY 1
) keys
"""
OVERTAKEN = f"""
WITH live AS (
    SELECT r.deployment_id, r.work_queue_id FROM runs_flowrun r WHERE {UNDER_WAY}
)
SELECT (SELECT concurrency_limit < (SELECT count(*) FROM live WHERE deployment_id = d.id)
        FROM flows_deployment d WHERE d.id = %s)
    OR (SELECT concurrency_limit < (SELECT count(*) FROM live WHERE work_queue_id = q.id)
        FROM agents_workqueue q WHERE q.id = %s)
    OR (SELECT concurrency_limit < (SELECT count(*) FROM live JOIN agents_workqueue q ON q.id = work_queue_id
                                    WHERE q.work_pool_id = p.id)
        FROM agents_workpool p WHERE p.id = %s)
"""
TRIES = 20

_LOOK = """
SELECT attempt, lease_expires IS NOT NULL, state_type,
       coalesce(deadline < now(), false) AND state_type <> 'PAUSED'
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
        state_timestamp = greatest(clock_timestamp(), state_timestamp), lease_expires = NULL, agent_id = NULL,
        version = version + 1, updated = now()
    WHERE agent_id = %s AND leased AND state_type = 'PENDING'
    RETURNING *
)
INSERT INTO runs_flowrunstate (id, flow_run_id, type, name, message, timestamp, attempt, state_details)
SELECT state_id, id, state_type, state_name, state_message, state_timestamp, attempt, '{}' FROM released
RETURNING flow_run_id
"""


class _Overtaken(Exception):
    """Somebody else took the last slot while we claimed."""


def claim(
    session: Session, agent_id: UUID, queue_ids: Sequence[UUID], served: Sequence[UUID] = ()
) -> Claimed | None:
    """Take the best due run of these queues for this agent: PENDING, a new attempt, a lease.

    Of several workspaces, the one with the fewest runs under way goes first, then the one that is earlier
    in `served` (workspaces, the last one served at the end; one that is not in it goes before). Within
    it: lowest queue priority first, then the order of the queue. None: nothing is due, or what is due is
    paused or must wait for a slot.
    """
    for _ in range(TRIES):
        with suppress(_Overtaken), session.transaction() as transaction:
            return _claimed(transaction, [list(queue_ids), list(served), uuid7(), agent_id])
    return None  # the sweeper rings again


def _claimed(transaction: Transaction, params: list[Any]) -> Claimed | None:
    rows = transaction.execute(CLAIM, params)
    if not rows:
        return None
    is_limited, queue_id, pool_id, *row = rows[0]
    run_id, name, flow_name, parameters, tags, run_count, crash_count, attempt, *rest = row
    deployment_id, deployment_name, scheduled, root_run_id, workspace_id, version, *code = rest
    entrypoint, path, deployment_version, deployment_parameters, work_queue_name, work_pool_name, *more = code
    job_variables, parent_run_id, parent_deployment_id, result_scope, redo_from, is_isolated = more
    if is_limited:
        _keep_limits(transaction, [deployment_id, queue_id, pool_id])
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
    return Claimed(run, workspace_id, version, entrypoint, path, redo_from, is_isolated)


def _keep_limits(transaction: Transaction, above: list[UUID | None]) -> None:
    """Raises _Overtaken if a limit of these (deployment, queue, pool) is passed by what was just claimed."""
    transaction.execute(LOCK_LIMITS, [[each for each in above if each]])
    if transaction.execute(OVERTAKEN, above)[0][0]:
        raise _Overtaken


def turn_taken(served: Sequence[UUID], workspace_id: UUID) -> list[UUID]:
    """`served`, with this workspace at the end."""
    return [each for each in served if each != workspace_id] + [workspace_id]


def order_of(claimed: Claimed, transact: Transact) -> Order:
    """What the process that executes the run has to know. `transact` does something in a transaction."""
    run = claimed.run
    if from_task := claimed.redo_from:
        run = replace(run, reusable=transact(lambda tx: reusable_calls(tx, run.id, from_task)))
    return Order(run, claimed.entrypoint, claimed.path)


def renew(session: Session, run_id: UUID, attempt: int) -> Lease:
    """Extend the lease of an attempt, if it still holds, and say what became of it."""
    return _lease(session.execute(_RENEW, [run_id, attempt, run_id]), attempt)


def look(session: Session, run_id: UUID, attempt: int) -> Lease:
    """The same answer as `renew` gives, without extending the lease."""
    return _lease(session.execute(_LOOK, [run_id]), attempt)


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
