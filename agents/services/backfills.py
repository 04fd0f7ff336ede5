"""Backfills go on although nobody was there to release their next runs.

Whoever ends a run releases the next one at once. This is for what that missed: two runs that ended in the
same moment, runs that were deleted, a limit that was raised.
"""

from datetime import datetime

from agents.services.database import alone
from runs.backfills.steer import release
from runs.models import Backfill
from runs.models.backfill import BackfillState

MOST = 1000


def release_backfills(now: datetime) -> None:
    """Release what there is room for in every active backfill, and end those whose runs have all ended."""
    with alone("backfills") as mine:
        if not mine:
            return
        active = Backfill.objects.filter(state=BackfillState.ACTIVE).order_by("updated")
        ids = list(active.values_list("id", flat=True)[:MOST])
    for backfill_id in ids:
        release(backfill_id)
