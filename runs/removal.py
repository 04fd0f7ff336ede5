"""Deleting deployments and plans without leaving runs that nobody could start."""

from uuid import UUID

from django.db import transaction
from django.db.models import Q

from flows.models import Deployment
from flows.sdk.states import Cancelling
from runs.backfills.steer import cancel_backfill, open_backfills
from runs.models import FlowRun
from runs.models.flow_run import StateType
from runs.session import DjangoSession
from runs.transition import transition

WHY = "Its deployment was deleted."
# Made by a schedule, and nobody began with them: they are plans, not history.
PLANNED = Q(
    state_type=StateType.SCHEDULED, lease_expires=None, run_count=0, attempt=0, schedule__isnull=False
)


def delete_deployment(deployment: Deployment) -> None:
    """Delete a deployment with the runs that its schedules planned. What else waits is cancelled, since
    without the deployment it could not find its code; what runs goes on, and history stays."""
    for backfill_id in list(open_backfills(deployment).values_list("id", flat=True)):
        cancel_backfill(backfill_id, WHY)
    remove_planned(deployment.id)
    waiting = FlowRun.objects.filter(deployment=deployment, state_type=StateType.SCHEDULED)
    for run_id in list(waiting.values_list("id", flat=True)):
        transition(DjangoSession(), run_id, Cancelling(message=WHY))
    deployment.delete()


@transaction.atomic
def remove_planned(deployment_id: UUID) -> None:
    """Delete the runs that the deployment's schedules planned and nobody began with, late ones as well."""
    planned = FlowRun.objects.select_for_update(skip_locked=True, of=("self",))
    ids = list(planned.filter(PLANNED, deployment_id=deployment_id).values_list("id", flat=True))
    FlowRun.objects.filter(id__in=ids).delete()
