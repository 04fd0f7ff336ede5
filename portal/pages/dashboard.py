"""The dashboard: is everything all right, and what needs somebody."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db.models import F, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest
from django.utils.timezone import now

from agents.models import Agent, ServiceStatus
from agents.registry import OFFLINE_AFTER
from flows.models import Deployment, Workspace
from portal.access.actors import actor_of
from portal.admin.agents import is_at_work, service_lamp, visible_agents
from portal.admin.strips import bars, recent_runs
from portal.pages.activity import activity
from portal.pages.attention import quarantined, troubles
from runs.models import FlowRun
from runs.models.flow_run import StateType

ROWS = 8
MOST_COUNTED = 1000
# The loop by which runs, too, judge whether a scheduler is at work.
PULSE = "sweep"


def dashboard(request: HttpRequest) -> dict[str, Any]:
    """What the page shows. Every query reads a bounded range of an index."""
    actor = actor_of(request)
    workspaces = list(Workspace.objects.for_actor(actor).values_list("id", flat=True))
    deployments = list(Deployment.objects.for_actor(actor).select_related("flow").order_by("-updated")[:ROWS])
    recent = recent_runs([each.pk for each in deployments])
    found, has_more = troubles(workspaces)
    return {
        "counts": [*_counts(workspaces)],
        "activity": activity(workspaces, now()),
        "troubles": found,
        "has_more_troubles": has_more,
        "quarantined": quarantined(workspaces),
        "upcoming": _upcoming(workspaces),
        "deployments": [(each, bars(recent[each.pk])) for each in deployments],
        "agents": _online(visible_agents(request)),
        "services": _services(),
    }


def _runs(workspaces: Sequence[UUID]) -> QuerySet[FlowRun]:
    return FlowRun.objects.filter(workspace_id__in=workspaces).select_related("flow", "deployment")


def _counts(workspaces: Sequence[UUID]) -> list[dict[str, Any]]:
    """How many runs are in each state that is not an end; `1000+` when there are more."""
    runs = _runs(workspaces).order_by()
    shown = {
        "running": runs.filter(state_type=StateType.RUNNING),
        "pending": runs.filter(state_type=StateType.PENDING),
        "waiting": runs.filter(state_type=StateType.SCHEDULED, expected_start_time__lte=Now()),
        "paused": runs.filter(state_type=StateType.PAUSED),
    }
    types = {"waiting": "SCHEDULED"}
    return [
        {"label": label, "type": types.get(label, label.upper()), "count": _bounded(found)}
        for label, found in shown.items()
    ]


def _bounded(rows: QuerySet[Any]) -> str:
    count = rows[: MOST_COUNTED + 1].count()
    return f"{MOST_COUNTED}+" if count > MOST_COUNTED else str(count)


def _upcoming(workspaces: Sequence[UUID]) -> list[FlowRun]:
    due = _runs(workspaces).filter(state_type=StateType.SCHEDULED, expected_start_time__gt=Now())
    return list(due.order_by("expected_start_time")[:ROWS])


def _online(agents: QuerySet[Agent]) -> list[Agent]:
    return list(
        agents.filter(stopped__isnull=True, last_seen__gt=Now() - OFFLINE_AFTER).order_by("started")[:ROWS]
    )


def _services() -> dict[str, Any]:
    """The scheduler's loops, by their liveliest process: how many work, and those that do not, with lamps."""
    found = ServiceStatus.objects.order_by("name", F("last_success").desc(nulls_last=True)).distinct("name")
    newest = list(found)
    troubled = [(each, service_lamp(each)) for each in newest if not is_at_work(each)]
    return {
        "at_work": any(each.name == PULSE and is_at_work(each) for each in newest),
        "all": len(newest),
        "working": len(newest) - len(troubled),
        "troubled": troubled,
    }
