"""A backfill of 10,000 slots: from the call until the plan is durable and its first runs are due."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.bench.figures import Figure, milliseconds

SLOTS = 10_000
ROUNDS = 5


def measure(folder: Path) -> list[Figure]:
    from flows.models import Schedule
    from runs.backfills.plan import plan
    from runs.backfills.steer import create_backfill
    from runs.backfills.wish import Wish
    from runs.models.backfill import Which
    from tests.factories import make_deployment

    now = datetime.now(UTC)
    took: list[float] = []
    for number in range(ROUNDS):
        deployment = make_deployment(f"backfill-{number}", "backfilled")
        Schedule.objects.create(deployment=deployment, cron="*/15 * * * *", timezone="Europe/Berlin")
        start = now - timedelta(minutes=15 * SLOTS)
        began = time.perf_counter()
        made = create_backfill(plan(Wish(deployment, start=start, end=now, which=Which.MISSING), now))
        took.append(time.perf_counter() - began)
        assert made.total == SLOTS, made.total
    return [milliseconds(f"backfill of {SLOTS:,} cron slots planned", took, "< 2 s")]
