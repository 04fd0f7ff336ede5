"""Large backfills are planned here, so that nobody waits for it. Any number of schedulers share the work."""

from datetime import datetime

from runs.backfills.planning import plan_next_chunk


def plan_backfills(now: datetime) -> datetime | None:
    """Plan a chunk of one backfill; the next one at once, as long as there are any."""
    return now if plan_next_chunk() else None
