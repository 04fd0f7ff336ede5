"""How far backfills have come, and what the rest of them waits for."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from uuid import UUID

from django.db.models import Count

from runs.models import FlowRun
from runs.models.backfill import OPEN, BackfillState
from runs.models.flow_run import TERMINAL


def counts_of(backfill_ids: Sequence[UUID]) -> Mapping[UUID, Counter[str]]:
    """How many runs of each backfill are in each type of state, read from an index that holds no others."""
    runs = FlowRun.objects.filter(backfill_id__in=backfill_ids).order_by()
    rows = runs.values_list("backfill_id", "state_type").annotate(count=Count("*"))
    found: dict[UUID, Counter[str]] = defaultdict(Counter)
    for backfill_id, state_type, count in rows:
        if backfill_id is not None:
            found[backfill_id][state_type] = count
    return found


def waiting_on(
    state: str, total: int, released: int, concurrency: int, planned_percent: int, counts: Mapping[str, int]
) -> list[dict[str, str]]:
    """What the cells without a run wait for, as {code, text, fix}; empty if no more runs will begin."""
    if state == BackfillState.PLANNING:
        text = f"It is being planned: {planned_percent} % looked at, {total:,} runs so far. Then they begin."
        return [{"code": "backfill_planning", "text": text, "fix": ""}]
    if released == total or state not in OPEN:
        return []
    if state == BackfillState.PAUSED:
        text = "The backfill is paused: no more of its runs begin."
        return [{"code": "backfill_paused", "text": text, "fix": "Resume the backfill."}]
    under_way = sum(count for state_type, count in counts.items() if state_type not in TERMINAL)
    text = f"{under_way} of at most {concurrency} runs are under way: the next begins when one ends."
    return [{"code": "backfill_limit", "text": text, "fix": ""}]
