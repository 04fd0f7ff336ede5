"""Pause expiry: a paused run that nobody resumed in time fails, so that it does not wait for ever."""

from datetime import datetime, timedelta

from django.db.models import Q

from agents.services.database import alone
from flows.sdk.states import Failed
from runs.models import FlowRun
from runs.models.flow_run import StateType
from runs.session import DjangoSession
from runs.transition import transition

# A process that waits ends its pause itself, and its flow may handle that. This is for one that cannot.
PROCESS_FIRST = timedelta(seconds=10)
BATCH = 50


def expire_pauses(now: datetime) -> None:
    """Fail the runs whose pause has run out."""
    with alone("pauses") as mine:
        if not mine:
            return
        waits_alone = Q(lease_expires=None, pause_expires__lte=now)
        overdue = FlowRun.objects.filter(
            waits_alone | Q(pause_expires__lte=now - PROCESS_FIRST), state_type=StateType.PAUSED
        )
        for run_id in overdue.order_by("pause_expires").values_list("id", flat=True)[:BATCH]:
            message = "The run was paused, and nobody resumed it in time."
            transition(DjangoSession(), run_id, Failed(message=message))
