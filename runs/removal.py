"""Deleting deployments, plans and runs without leaving runs that nobody could start."""

from collections.abc import Callable
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from flows.models import Deployment
from flows.unhurried import unhurried
from runs.backfills.steer import cancel_backfill, open_backfills
from runs.cancel_many import cancel_all
from runs.models import FlowRun
from runs.models.flow_run import StateType
from runs.session import DjangoSession
from runs.slots import wake_for_slots_of

BATCH = 1000
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
    cancel_all(DjangoSession(), list(waiting.order_by("id").values_list("id", flat=True)), WHY)
    with unhurried():
        deployment.delete()


def delete_run(run_id: UUID, check: Callable[[FlowRun], None]) -> None:
    """Delete a run with all that belongs to it, unless `check` raises for its locked row. Whoever waits for
    its slots is woken."""
    with unhurried(), DjangoSession().transaction() as tx:
        locked = FlowRun.objects.select_for_update(of=("self",)).get(id=run_id)
        check(locked)
        wake_for_slots_of(tx, run_id)
        locked.delete()


def remove_planned(deployment_id: UUID) -> None:
    """Delete the runs that the deployment's schedules planned and nobody began with, late ones as well."""
    while _remove_some(deployment_id) == BATCH:
        pass


@transaction.atomic
def _remove_some(deployment_id: UUID) -> int:
    planned = FlowRun.objects.select_for_update(skip_locked=True, of=("self",))
    chosen = planned.filter(PLANNED, deployment_id=deployment_id).order_by("id")
    ids = list(chosen.values_list("id", flat=True)[:BATCH])
    FlowRun.objects.filter(id__in=ids).delete()
    return len(ids)
