"""The late marker names overdue runs, so that people see what ought to be running."""

from datetime import datetime, timedelta

from agents.services.database import alone
from flows.sdk.states import Scheduled
from runs.models import FlowRun
from runs.models.flow_run import StateType
from runs.session import DjangoSession
from runs.transition import transition

LATE_AFTER = timedelta(seconds=15)
# Claims pass over the rows that this locks: few at a time keep that short.
BATCH = 50


def mark_late(now: datetime) -> None:
    """Name runs that were due 15 s ago `Late`. They stay as they are in every other respect."""
    with alone("late") as mine:
        if not mine:
            return
        overdue = FlowRun.objects.filter(
            state_type=StateType.SCHEDULED,
            state_name="Scheduled",
            lease_expires=None,
            expected_start_time__lte=now - LATE_AFTER,
        ).order_by("expected_start_time")
        for run_id, due in overdue.values_list("id", "expected_start_time")[:BATCH]:
            transition(DjangoSession(), run_id, Scheduled(due, name="Late"))
