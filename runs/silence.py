"""Runs that Prefect's clients execute, and of which nothing is heard any more."""

from datetime import datetime, timedelta
from uuid import UUID

from flows.sdk.recorder import Status
from flows.sdk.states import Crashed
from runs.by_prefect import BY_PREFECT
from runs.crashing import end_for
from runs.session import Session

BATCH = 50
MISSED = 3  # heartbeats

# A run that was started again has until its first heartbeat.
SILENT = f"""
SELECT r.id, r.last_heartbeat
FROM runs_flowrun r LEFT JOIN runs_flowrun root ON root.id = r.root_run_id
WHERE r.state_type = 'RUNNING' AND r.last_heartbeat < %s AND r.state_timestamp < %s AND {BY_PREFECT}
ORDER BY r.last_heartbeat LIMIT {BATCH} FOR UPDATE OF r SKIP LOCKED
"""

HEARD = """
UPDATE runs_flowrun SET last_heartbeat = clock_timestamp()
WHERE state_type = 'RUNNING' AND last_heartbeat IS NOT NULL AND lease_expires IS NULL
"""


def end_silent(session: Session, now: datetime, every: timedelta) -> int:
    """Crash the runs that missed three heartbeats, which come `every` so often; return how many.

    Only runs that had one: clients may be told to send none.
    """
    edge = now - MISSED * every
    with session.transaction() as tx:
        silent = tx.execute(SILENT, [edge, edge])
        return sum(_end(session, id, heard, every) for id, heard in silent)


def _end(session: Session, run_id: UUID, heard: datetime, every: timedelta) -> bool:
    message = (
        f"Nothing was heard of its process since the heartbeat of {heard:%H:%M:%S} UTC, and one comes every "
        f"{every.total_seconds():g} s. It was killed, or lost its host or the connection to Portal."
    )
    return end_for(session, run_id, None, Crashed(message=message)).status is Status.ACCEPT


def hear_from_now_on(session: Session) -> None:
    """A server starts: nobody could be heard while there was none, so all silence begins anew."""
    session.execute(HEARD)
