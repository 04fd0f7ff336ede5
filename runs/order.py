"""The order in which waiting runs start, where somebody changes it."""

from functools import partial
from uuid import UUID

from runs import announce
from runs.models.flow_run import NEXT
from runs.session import Session

PUT_FIRST = """
UPDATE runs_flowrun SET priority = %s, version = version + 1, updated = now()
WHERE id = %s AND state_type = 'SCHEDULED' AND lease_expires IS NULL AND work_queue_id IS NOT NULL
RETURNING workspace_id, version, state_type, state_name, work_queue_id, expected_start_time <= now()
"""


def run_next(session: Session, run_id: UUID) -> bool:
    """Let the run go before all others of its queue once it is due; False if it waits in none.

    It still waits for free slots, and for its time. Of several, the one that is due longest goes first.
    """
    with session.transaction() as tx:
        rows = tx.execute(PUT_FIRST, [NEXT, run_id])
        for workspace_id, version, state_type, state_name, queue_id, is_due in rows:
            changed = announce.RunChanged(run_id, workspace_id, version, state_type, state_name)
            tx.on_commit(partial(announce.publish, changed))
            if is_due:
                tx.on_commit(partial(announce.ring, queue_id))
    return bool(rows)
