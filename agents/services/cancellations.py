"""Cancellations that nobody confirms: without this, such a run of Prefect's would say Cancelling for ever.

Its worker, or the script that serves its deployment, says that its process has ended. A script that was
started by hand has nobody who would, and its own engine may not: what was cancelled stays so.
"""

from datetime import datetime, timedelta

from agents.services.database import alone
from flows.sdk.states import Cancelled
from runs.models import FlowRun
from runs.models.flow_run import StateType
from runs.session import DjangoSession
from runs.transition import transition

CONFIRMED_WITHIN = timedelta(minutes=5)  # as long as a Prefect server waits
BATCH = 50


def end_cancellations(now: datetime) -> None:
    """End what is being cancelled for 5 minutes, and no agent has: those end it themselves."""
    with alone("cancellations") as mine:
        if not mine:
            return
        overdue = FlowRun.objects.filter(
            state_type=StateType.CANCELLING, lease_expires=None, state_timestamp__lt=now - CONFIRMED_WITHIN
        ).exclude(root_run__lease_expires__isnull=False)
        for run_id in overdue.order_by("state_timestamp").values_list("id", flat=True)[:BATCH]:
            message = "Cancelled: nobody said within 5 minutes that its process had ended."
            transition(DjangoSession(), run_id, Cancelled(message=message))
