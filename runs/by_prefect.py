"""Runs that Prefect's own processes execute: what the rules need to know of them, and what follows."""

import json
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from flows.sdk.ids import uuid7
from flows.sdk.states import TERMINAL, State, StateType
from runs import announce
from runs.rules import ByPrefect
from runs.session import Transaction

if TYPE_CHECKING:
    from runs.rules import Current

# Nobody of ours has it or had it: no lease, no attempt, and no queue that our agents serve.
BY_PREFECT = """
    (coalesce(root.attempt, r.attempt) = 0 AND r.lease_expires IS NULL AND root.lease_expires IS NULL
     AND NOT EXISTS (
        SELECT FROM agents_workqueue q JOIN agents_workpool p ON p.id = q.work_pool_id
        WHERE q.id = r.work_queue_id AND p.type <> 'prefect'))
"""

READ = """
SELECT r.empirical_policy, r.run_count, r.infrastructure_pid, s.state_details
FROM runs_flowrun r LEFT JOIN runs_flowrunstate s ON s.id = r.state_id
WHERE r.id = %s
"""

FORGET_PROCESS = "UPDATE runs_flowrun SET infrastructure_pid = '' WHERE id = %s"

# The parent's row comes before its task run's, as for every writer of task runs.
BUMP_PARENT = """
UPDATE runs_flowrun p SET version = p.version + 1
FROM runs_taskrun t
WHERE t.id = %s AND p.id = t.flow_run_id AND p.attempt = 0 AND p.lease_expires IS NULL
RETURNING p.id, p.workspace_id, p.version, p.state_type, p.state_name
"""
FOLLOW = """
WITH child AS (
    SELECT * FROM runs_flowrun WHERE id = %(run)s
), history AS (
    INSERT INTO runs_taskrunstate
        (id, task_run_id, flow_run_id, type, name, message, timestamp, attempt, sequence)
    SELECT %(state)s, t.id, t.flow_run_id, c.state_type, c.state_name, c.state_message, c.state_timestamp, 0,
           t.sequence + 1
    FROM child c JOIN runs_taskrun t ON t.id = c.parent_task_run_id
)
UPDATE runs_taskrun t SET
    state_id = %(state)s, state_type = c.state_type, state_name = c.state_name,
    state_message = c.state_message, state_timestamp = c.state_timestamp, start_time = c.start_time,
    end_time = c.end_time, total_run_time = c.total_run_time, run_count = c.run_count,
    sequence = t.sequence + 1, version = %(version)s
FROM child c WHERE t.id = c.parent_task_run_id
"""


def read_by_prefect(tx: Transaction, run_id: UUID) -> ByPrefect:
    """What the rules need to know of such a run. Its row is locked."""
    policy, run_count, pid, details = tx.execute(READ, [run_id])[0]
    told = json.loads(policy) if policy else {}
    return ByPrefect(
        details=json.loads(details) if details else {},
        run_count=run_count,
        retries=_number(told, "retries", "max_retries"),
        retry_delay_seconds=_number(told, "retry_delay", "retry_delay_seconds"),
        infrastructure_pid=pid,
    )


def _number(policy: dict[str, Any], *names: str) -> float:
    """The first of these that is said: older clients have other names."""
    return next((policy[name] for name in names if isinstance(policy.get(name), int | float)), 0)


def carried_over(run: "Current", state: State) -> State:
    """The state with what it has from the one before: when a run is due that a process prepares for."""
    if run.by_prefect is None or state.type is not StateType.PENDING:
        return state
    details = {"scheduled_time": run.expected_start_time.isoformat(), **state.details}
    return State(state.type, state.name, state.message, state.timestamp, state.id, details)


def forget_process(tx: Transaction, run: "Current", state: State) -> None:
    """Forget the process of a try that has ended when the run is opened again."""
    if run.state_type in TERMINAL and state.type is StateType.SCHEDULED:
        tx.execute(FORGET_PROCESS, [run.id])


def lead_stand_in(tx: Transaction, run: "Current") -> None:
    """Let the task run that stands for this run in a flow of Prefect's engine show the run's state.

    The engine reports the states of its tasks, but not of this one.
    """
    if run.parent_task_run_id is None:
        return
    for parent_id, workspace_id, version, state_type, name in tx.execute(
        BUMP_PARENT, [run.parent_task_run_id]
    ):
        tx.execute(FOLLOW, {"run": run.id, "state": uuid7(), "version": version})
        changed = announce.RunChanged(parent_id, workspace_id, version, state_type, name)
        tx.on_commit(partial(announce.publish, changed))
