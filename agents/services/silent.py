"""Runs of Prefect's processes that have fallen silent: nobody else would ever say that they are over.

They have no lease. Their engine sends an event every three minutes while it runs a flow, unless it is told
not to; that a cancelled one has ended is said by its worker, or by the script that serves the deployment.
"""

from datetime import datetime, timedelta

from agents.services.database import alone
from flows.sdk.states import Cancelled, Crashed
from runs.models import FlowRun
from runs.models.flow_run import StateType
from runs.session import DjangoSession
from runs.transition import transition

# Three heartbeats, and one minute for what delays them.
SILENT_AFTER = timedelta(minutes=10)
# As long as a Prefect server waits.
CANCELLED_AFTER = timedelta(minutes=5)
BATCH = 50


def end_silent_runs(now: datetime) -> None:
    """End runs of Prefect's processes that were not heard for 10 minutes, or are cancelled for 5."""
    with alone("silent") as mine:
        if mine:
            _crash_unheard(now)
            _end_cancellations(now)


def _crash_unheard(now: datetime) -> None:
    silent = FlowRun.objects.filter(
        state_type=StateType.RUNNING,
        last_heartbeat__lt=now - SILENT_AFTER,
        state_timestamp__lt=now - SILENT_AFTER,  # one that goes on has not been heard since it was suspended
        lease_expires=None,
    )
    for run_id, heard in silent.order_by("last_heartbeat").values_list("id", "last_heartbeat")[:BATCH]:
        message = (
            f"The Prefect process that ran it was last heard at {heard:%H:%M:%S} UTC. It was killed, or lost "
            "its host or the connection to Portal. Look at its worker's log, then run this again."
        )
        transition(DjangoSession(), run_id, Crashed(message=message))


def _end_cancellations(now: datetime) -> None:
    """Only what no agent has: those end it themselves."""
    overdue = FlowRun.objects.filter(
        state_type=StateType.CANCELLING, lease_expires=None, state_timestamp__lt=now - CANCELLED_AFTER
    ).exclude(root_run__lease_expires__isnull=False)
    for run_id in overdue.order_by("state_timestamp").values_list("id", flat=True)[:BATCH]:
        message = "Cancelled: nobody said within 5 minutes that its process had ended."
        transition(DjangoSession(), run_id, Cancelled(message=message))
