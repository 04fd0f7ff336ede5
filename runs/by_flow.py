"""Runs that a Prefect client makes for itself: of a flow, without a deployment, in its own process."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from runs.create import NewRun, insert_runs_in
from runs.session import Transaction

# Two requests with one key would both find nothing. Runs without a deployment have no unique key.
LOCK_KEY = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"
OF_KEY = """
SELECT id FROM runs_flowrun
WHERE flow_id = %s AND idempotency_key = %s AND deployment_id IS NULL
"""
TELL = """
UPDATE runs_flowrun SET flow_version = %s, empirical_policy = %s, context = %s WHERE id = %s
"""
# The run in whose process a subflow runs, and its root.
CALLER = """
SELECT coalesce(r.root_run_id, r.id) FROM runs_taskrun t JOIN runs_flowrun r ON r.id = t.flow_run_id
WHERE t.id = %s
"""


@dataclass(frozen=True, slots=True)
class Told:
    """What a Prefect client tells of a run that it makes, and reads again."""

    flow_version: str = ""
    empirical_policy: Mapping[str, Any] = field(default_factory=dict)
    context: Mapping[str, Any] = field(default_factory=dict)


def make_run_of_flow(tx: Transaction, new: NewRun, told: Told) -> tuple[UUID, bool]:
    """Make the run, or find the one with its idempotency key; its id, and whether it is new."""
    if new.idempotency_key:
        tx.execute(LOCK_KEY, [f"{new.flow_id}:{new.idempotency_key}"])
        for (run_id,) in tx.execute(OF_KEY, [new.flow_id, new.idempotency_key]):
            return run_id, False
    insert_runs_in(tx, [new])
    policy, context = Jsonb(dict(told.empirical_policy)), Jsonb(dict(told.context))
    tx.execute(TELL, [told.flow_version, policy, context, new.id])
    return new.id, True


def root_of_subflow(tx: Transaction, parent_task_run_id: UUID) -> UUID | None:
    """The run in whose process a subflow runs that this task run stands for."""
    rows = tx.execute(CALLER, [parent_task_run_id])
    return rows[0][0] if rows else None
