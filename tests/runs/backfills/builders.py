"""Wishes and plans for tests."""

from datetime import UTC, datetime
from typing import Any

from flows.models import Deployment, Schedule
from flows.sdk.states import Pending, Running, State
from runs.backfills.plan import Plan, plan
from runs.backfills.wish import Wish
from runs.models import Backfill, FlowRun
from runs.session import DjangoSession
from runs.transition import transition
from tests.factories import make_deployment

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "day": {"type": "string", "format": "date", "position": 0},
        "city": {"type": "string", "enum": ["Bern", "Oslo", "Rome"], "position": 1},
        "depth": {"type": "integer", "default": 1, "minimum": 1, "position": 2},
    },
    "required": ["day"],
}


def daily(cron: str = "0 6 * * *", **fields: Any) -> Deployment:
    """A deployment with one schedule."""
    deployment = make_deployment(**fields)
    Schedule.objects.create(deployment=deployment, cron=cron)
    return deployment


def planned(deployment: Deployment, **wanted: Any) -> Plan:
    return plan(Wish(deployment, **wanted), NOW)


def march(first: int, last: int) -> dict[str, datetime]:
    """A range of days."""
    return {
        "start": datetime(2026, 3, first, tzinfo=UTC),
        "end": datetime(2026, 3, last, 23, 59, tzinfo=UTC),
    }


def runs_of(backfill: Backfill) -> list[FlowRun]:
    """In the order in which they were released."""
    cells = backfill.cells.filter(flow_run__isnull=False).select_related("flow_run").order_by("number")
    return [cell.flow_run for cell in cells if cell.flow_run]


def end(run: FlowRun, state: State) -> None:
    """Let the run begin, and end in this state."""
    for each in (Pending(), Running(), state):
        transition(DjangoSession(), run.id, each)
