"""What needs somebody: the runs that ended badly lately, those that did so alike in one line."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db.models.functions import Left, Now

from flows.models import Deployment
from portal.admin.looks import head_line
from runs.models import FlowRun
from runs.models.flow_run import StateType

WITHIN = timedelta(days=7)
MOST_READ = 200
MOST_SHOWN = 8
MOST_CHARACTERS = 2000


@dataclass(slots=True)
class Trouble:
    """Runs of one flow and deployment that ended with the same words; `newest` is the last of them."""

    newest: Any  # a FlowRun with `message`, the beginning of its state's
    count: int = 1


def troubles(workspaces: Sequence[UUID]) -> tuple[list[Trouble], bool]:
    """The newest troubles, and whether there were more bad runs than the 200 that were looked at.

    One query; of the messages, which may be long, only the beginning is compared.
    """
    bad = FlowRun.objects.filter(
        workspace_id__in=workspaces,
        state_type__in=[StateType.FAILED, StateType.CRASHED],
        created__gt=Now() - WITHIN,
    )
    runs = list(
        bad.select_related("flow", "deployment")
        .annotate(message=Left("state_message", MOST_CHARACTERS))
        .defer("parameters", "created_by", "state_message")
        .order_by("-created", "-id")[: MOST_READ + 1]
    )
    found: dict[tuple[object, ...], Trouble] = {}
    for run in runs[:MOST_READ]:
        alike = (run.flow_id, run.deployment_id, run.state_name, head_line(run.message))
        if alike in found:
            found[alike].count += 1
        else:
            found[alike] = Trouble(run)
    return list(found.values())[:MOST_SHOWN], len(runs) > MOST_READ


def quarantined(workspaces: Sequence[UUID]) -> list[Deployment]:
    """The deployments that were put in quarantine and not released since, the latest first."""
    held = Deployment.objects.filter(workspace_id__in=workspaces, quarantined__isnull=False, paused=True)
    return list(held.select_related("flow").order_by("-quarantined")[:MOST_SHOWN])
