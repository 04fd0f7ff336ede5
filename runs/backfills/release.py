"""Releasing: the next cells of a backfill become runs when there is room under its own concurrency.

Done by whoever ends one of its runs, in the same transaction, and by a loop of the scheduler for what that
missed. Only the holder of the backfill's row moves `released`, so each cell becomes one run.
"""

import json
from typing import Any
from uuid import UUID

from flows.models import Deployment
from runs.create import NewRun, insert_runs_in
from runs.models.backfill import BackfillState
from runs.session import Transaction

# Somebody else who holds the row releases, too: waiting for them could become waiting in a circle.
LOCK = """
SELECT b.concurrency, b.total, b.released, b.parameters, b.tags, b.priority, b.created_by,
       d.id, d.workspace_id, d.flow_id, d.work_queue_id, d.parameters, d.tags
FROM runs_backfill b JOIN flows_deployment d ON d.id = b.deployment_id
WHERE b.id = %s AND b.state = %s
FOR UPDATE OF b SKIP LOCKED
"""

UNDER_WAY = """
SELECT count(*) FROM runs_flowrun
WHERE backfill_id = %s
  AND state_type IN ('SCHEDULED', 'PENDING', 'RUNNING', 'PAUSED', 'CANCELLING')
"""

NEXT = """
SELECT id, number, slot, parameters FROM runs_backfillcell
WHERE backfill_id = %s AND number >= %s ORDER BY number LIMIT %s
"""

BECOME_RUNS = """
UPDATE runs_backfillcell c SET flow_run_id = r.id
FROM runs_flowrun r
WHERE c.id = ANY(%s) AND r.deployment_id = %s AND r.idempotency_key = %s || c.number
"""

ADVANCE = "UPDATE runs_backfill SET released = %s, updated = now() WHERE id = %s"
FINISH = "UPDATE runs_backfill SET state = %s, finished = now(), updated = now() WHERE id = %s"


def release_in(tx: Transaction, backfill_id: UUID) -> int:
    """Make runs of the next cells, as many as there is room for; return how many.

    Ends the backfill when all of its runs have ended. Does nothing while it is not active, or while
    somebody else is at it.
    """
    rows = tx.execute(LOCK, [backfill_id, BackfillState.ACTIVE])
    if not rows:
        return 0
    concurrency, total, released, *_ = rows[0]
    under_way = tx.execute(UNDER_WAY, [backfill_id])[0][0]
    room = min(concurrency - under_way, total - released)
    if room > 0:
        _release(tx, backfill_id, rows[0], room)
        return int(room)
    if released == total and under_way == 0:
        tx.execute(FINISH, [BackfillState.COMPLETED, backfill_id])
    return 0


def _release(tx: Transaction, backfill_id: UUID, row: Any, count: int) -> None:
    _, _, released, parameters, tags, priority, created_by, *deployment = row
    owner = _deployment(*deployment)
    common, made_by = json.loads(parameters), json.loads(created_by) if created_by else None
    cells = tx.execute(NEXT, [backfill_id, released, count])
    key = key_of_cell(backfill_id)
    insert_runs_in(
        tx,
        [
            NewRun.of(
                owner,
                parameters={**common, **json.loads(own)},
                tags=tags,
                slot=slot,
                idempotency_key=f"{key}{number}",
                created_by=made_by,
                priority=priority,
                backfill_id=backfill_id,
            )
            for _, number, slot, own in cells
        ],
    )
    tx.execute(BECOME_RUNS, [[cell[0] for cell in cells], owner.id, key])
    tx.execute(ADVANCE, [released + len(cells), backfill_id])


def key_of_cell(backfill_id: UUID) -> str:
    """What the idempotency keys of a backfill's runs begin with; the cell's number follows."""
    return f"backfill:{backfill_id}:"


def _deployment(
    id: UUID, workspace_id: UUID, flow_id: UUID, work_queue_id: UUID, parameters: str, tags: list[str]
) -> Deployment:
    """The deployment as far as its runs need it: processes of runs have no connection of Django's."""
    return Deployment(
        id=id,
        workspace_id=workspace_id,
        flow_id=flow_id,
        work_queue_id=work_queue_id,
        parameters=json.loads(parameters),
        tags=tags,
    )
