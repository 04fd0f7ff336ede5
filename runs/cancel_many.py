"""Cancelling many waiting runs at once: a thousand in the time that two take one by one.

Only for runs that nobody ever began with. They have no process, no slots, no parts that are open and no
history but their beginning, so that what `transition` does with a cancellation comes to one state for each.
"""

from collections.abc import Sequence
from functools import partial
from uuid import UUID

from psycopg.types.json import Jsonb

from flows.sdk.ids import uuid7
from flows.sdk.states import Cancelled, Cancelling
from runs import announce
from runs.acting import acting
from runs.session import Session
from runs.transition import transition

BATCH = 1000
MOST_HINTS = 100  # of a batch; a page that shows others re-reads

# Rows are locked in key order, like every other writer of them does. What somebody else has, a claim for
# example, is left to `transition`, which waits for it.
LOCK = """
SELECT id FROM runs_flowrun
WHERE id = ANY(%s) AND state_type = 'SCHEDULED' AND NOT leased AND run_count = 0 AND attempt = 0
  AND infrastructure_pid = '' AND root_run_id IS NULL AND parent_task_run_id IS NULL AND backfill_id IS NULL
ORDER BY id FOR UPDATE SKIP LOCKED
"""
CANCEL = """
WITH ended AS (
    SELECT run_id, state_id, clock_timestamp() AS moment
    FROM unnest(%s::uuid[], %s::uuid[]) AS e(run_id, state_id)
), history AS (
    INSERT INTO runs_flowrunstate (id, flow_run_id, type, name, message, timestamp, attempt, state_details)
    SELECT state_id, run_id, %s, %s, %s, moment, 0, %s FROM ended
)
UPDATE runs_flowrun r SET
    state_id = e.state_id, state_type = %s, state_name = %s, state_message = %s, state_timestamp = e.moment,
    end_time = e.moment, version = r.version + 1, updated = now()
FROM ended e WHERE r.id = e.run_id
RETURNING r.id, r.workspace_id, r.version, r.state_type, r.state_name
"""


def cancel_all(session: Session, run_ids: Sequence[UUID], why: str) -> None:
    """Cancel these runs, each batch in a transaction of its own. One with a process is asked to end."""
    for begin in range(0, len(run_ids), BATCH):
        batch = run_ids[begin : begin + BATCH]
        ended = _cancel_unbegun(session, batch, why)
        for run_id in batch:
            if run_id not in ended:
                transition(session, run_id, Cancelling(message=why))


def _cancel_unbegun(session: Session, run_ids: Sequence[UUID], why: str) -> set[UUID]:
    """Cancel those that nobody began with, and say which they were."""
    state, who = Cancelled(message=why), acting()
    what = [state.type.value, state.name, state.message]
    with session.transaction() as tx:
        ids = [row[0] for row in tx.execute(LOCK, [list(run_ids)])]
        details = Jsonb({"actor": who} if who else {})
        changed = tx.execute(CANCEL, [ids, [uuid7() for _ in ids], *what, details, *what])
        for row in changed[:MOST_HINTS]:
            tx.on_commit(partial(announce.publish, announce.RunChanged(*row)))
    return set(ids)
