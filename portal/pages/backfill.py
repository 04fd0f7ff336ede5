"""The page of one backfill: how far it has come, each of its cells, and what one may do about it."""

from collections import Counter
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_GET, require_POST

from flows.models import Membership
from portal.access.actors import actor_of, has_role
from portal.pages.backfill_form import MOST_CONCURRENCY, PREFIX
from portal.pages.backfill_grid import ORDER, grid_of, progress_bar
from portal.pages.run_view import as_json
from runs.backfills.counts import counts_of, waiting_on
from runs.backfills.steer import (
    NotPossibleError,
    cancel_backfill,
    change_concurrency,
    pause_backfill,
    resume_backfill,
)
from runs.models import Backfill
from runs.models.backfill import OPEN, BackfillState, Which

PAGE = "admin:runs_backfill_change"


def urls(site: AdminSite) -> list[URLPattern]:
    """The page's routes, to stand before those of the backfills' ModelAdmin."""
    views = {
        "": (require_GET(_page), "runs_backfill_change"),
        "pause": (require_POST(_pause), "runs_backfill_pause"),
        "resume": (require_POST(_resume), "runs_backfill_resume"),
        "concurrency": (require_POST(_concurrency), "runs_backfill_concurrency"),
        "cancel": (require_POST(_cancel), "runs_backfill_cancel"),
    }
    return [
        path(f"<uuid:backfill_id>/{tail}", site.admin_view(view), {"site": site}, name=name)
        for tail, (view, name) in views.items()
    ]


def _page(request: HttpRequest, backfill_id: UUID, site: AdminSite) -> HttpResponse:
    backfill = _visible(request, backfill_id)
    context = {
        **site.each_context(request),
        **_about(backfill),
        "title": f"Backfill of {backfill.deployment}",
        "opts": Backfill._meta,
        "may_operate": has_role(actor_of(request), Membership.Role.OPERATOR, backfill.workspace_id),
    }
    return TemplateResponse(request, "portal/backfill.html", context)


def _about(backfill: Backfill) -> dict[str, Any]:
    counts = counts_of([backfill.id])[backfill.id]
    waiting = backfill.total - backfill.released
    return {
        "backfill": backfill,
        "is_open": backfill.state in OPEN,
        "is_planning": backfill.state == BackfillState.PLANNING,
        "most_concurrency": MOST_CONCURRENCY,
        "is_paused": backfill.state == BackfillState.PAUSED,
        "counts": _linked(backfill, counts),
        "waiting": f"{waiting:,}" if waiting else "",
        "waits_for": waiting_on(
            backfill.state,
            backfill.total,
            backfill.released,
            backfill.concurrency,
            backfill.planned_percent,
            counts,
        ),
        "progress": progress_bar(backfill.total, counts),
        "grid": grid_of(backfill) if backfill.total and backfill.state != BackfillState.PLANNING else "",
        "parameters": [(name, as_json(value)) for name, value in backfill.parameters.items()],
        "values": [(name, as_json(value)) for name, value in backfill.grid.items()],
        "failed_again": _failed_again(backfill, counts),
        "made_by": (backfill.created_by or {}).get("display_value", ""),
    }


def _linked(backfill: Backfill, counts: Counter[str]) -> list[dict[str, Any]]:
    runs = reverse("admin:runs_flowrun_changelist")
    return [
        {
            "type": state_type,
            "label": state_type.lower(),
            "count": f"{counts[state_type]:,}",
            "url": f"{runs}?backfill__id__exact={backfill.id}&state_type__exact={state_type}",
        }
        for state_type in ORDER
        if counts[state_type]
    ]


def _failed_again(backfill: Backfill, counts: Counter[str]) -> str:
    """The form for a backfill of what failed; empty if nothing did, or its rule is known in words alone."""
    if not counts["FAILED"] + counts["CRASHED"] or (backfill.start and not backfill.schedule):
        return ""
    lists = {name: [value] for name, value in backfill.parameters.items()} | backfill.grid
    query = {f"{PREFIX}{name}": as_json(values) for name, values in lists.items()}
    if backfill.start:
        slots = {"start": backfill.start, "end": backfill.end, "rule": backfill.schedule_id}
        query |= {name: str(value) for name, value in slots.items()}
    query |= {"slot_parameter": backfill.slot_parameter, "which": Which.FAILED.value}
    query["concurrency"] = str(backfill.concurrency)
    return f"{reverse('admin:flows_deployment_backfill', args=[backfill.deployment_id])}?{urlencode(query)}"


def _pause(request: HttpRequest, backfill_id: UUID, site: AdminSite) -> HttpResponse:
    """Start no more runs."""
    return _changed(request, backfill_id, pause_backfill)


def _resume(request: HttpRequest, backfill_id: UUID, site: AdminSite) -> HttpResponse:
    """Go on after a pause."""
    return _changed(request, backfill_id, resume_backfill)


def _concurrency(request: HttpRequest, backfill_id: UUID, site: AdminSite) -> HttpResponse:
    """Let another number of runs be under way at once."""
    text = request.POST.get("concurrency", "")
    if not (text.isdecimal() and 1 <= int(text[:9]) <= MOST_CONCURRENCY):
        _visible(request, backfill_id)
        messages.error(request, f"Runs at a time: write a number from 1 to {MOST_CONCURRENCY:,}.")
        return redirect(PAGE, backfill_id)
    return _changed(request, backfill_id, lambda id: change_concurrency(id, int(text)))


def _cancel(request: HttpRequest, backfill_id: UUID, site: AdminSite) -> HttpResponse:
    """Start no more runs, and cancel those that have not started."""
    message = f"Its backfill was cancelled by {actor_of(request).name}."
    return _changed(request, backfill_id, lambda id: cancel_backfill(id, message))


def _changed(request: HttpRequest, backfill_id: UUID, change: Any) -> HttpResponse:
    backfill = _visible(request, backfill_id)
    if not has_role(actor_of(request), Membership.Role.OPERATOR, backfill.workspace_id):
        raise PermissionDenied("Your role in this workspace does not allow this.")
    try:
        change(backfill.id)
    except NotPossibleError as error:
        messages.warning(request, str(error))
    return redirect(PAGE, backfill.id)


def _visible(request: HttpRequest, backfill_id: UUID) -> Backfill:
    """The backfill, if the user may see it; otherwise it is not there."""
    found = Backfill.objects.for_actor(actor_of(request)).select_related("deployment__flow", "schedule")
    backfill: Backfill | None = found.filter(id=backfill_id).first()
    if backfill is None:
        raise Http404("There is no such backfill.")
    return backfill
