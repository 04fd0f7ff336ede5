"""Runs that ended some time ago, for tests of what happens to them later."""

from datetime import datetime, timedelta

from agents.services.database import database_time
from flows.models import Deployment
from runs.models import FlowRun
from tests.factories import make_run


def ended_run(
    deployment: Deployment | None = None, state: str = "COMPLETED", days_ago: float = 0, took: float = 60
) -> FlowRun:
    """A run that was created, ran for `took` seconds and ended `days_ago`."""
    run = make_run(deployment)
    end = database_time() - timedelta(days=days_ago)
    start = end - timedelta(seconds=took)
    FlowRun.objects.filter(id=run.id).update(
        created=start, expected_start_time=start - timedelta(seconds=5), **_ending(state, start, end)
    )
    run.refresh_from_db()
    return run


def _ending(state: str, start: datetime, end: datetime) -> dict[str, object]:
    return {
        "state_type": state,
        "state_name": state.title(),
        "start_time": start,
        "end_time": end,
        "total_run_time": (end - start).total_seconds(),
    }
