"""How far backfills have come."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from uuid import UUID

from django.db.models import Count

from runs.models import FlowRun


def counts_of(backfill_ids: Sequence[UUID]) -> Mapping[UUID, Counter[str]]:
    """How many runs of each backfill are in each type of state, read from an index that holds no others."""
    runs = FlowRun.objects.filter(backfill_id__in=backfill_ids).order_by()
    rows = runs.values_list("backfill_id", "state_type").annotate(count=Count("id"))
    found: dict[UUID, Counter[str]] = defaultdict(Counter)
    for backfill_id, state_type, count in rows:
        if backfill_id is not None:
            found[backfill_id][state_type] = count
    return found
