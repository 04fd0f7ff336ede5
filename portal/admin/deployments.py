"""Deployments: made by deploying code; steered here."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.admin import display
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.http.response import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from agents.pools import is_for_prefect
from flows.catalog.versions import note_version
from flows.models import Deployment, Membership, Schedule
from portal.access.actors import actor_of, has_role
from portal.admin.agents import lamp
from portal.admin.filters import COMING, ScopedRelatedFilter
from portal.admin.forms import DeploymentForm
from portal.admin.looks import tags_of, when
from portal.admin.schedules import shown
from portal.admin.scoped import ScopedAdmin
from portal.admin.strips import bars, recent_runs
from portal.pages.backfill_form import backfill_deployment
from portal.pages.run_form import run_deployment
from runs.models import Backfill, FlowRun
from runs.quarantine import is_in_quarantine, lift_quarantine
from runs.removal import delete_deployment

RUNS_SHOWN = 12


class DeploymentList(ChangeList):
    """Reads the last runs of a whole page of deployments in one query."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        recent = recent_runs([each.pk for each in self.result_list])
        for each in self.result_list:
            each.recent = recent[each.pk]


class DeploymentAdmin(ScopedAdmin):
    """What can be run, how it went lately, and the button that runs it."""

    change_form_template = "portal/deployment.html"
    form = DeploymentForm
    list_display = ("title", "state", "last_runs", "queue", "entrypoint", "tag_list", "updated_when")
    list_display_links = None
    list_filter = (("flow", ScopedRelatedFilter), "paused")
    list_select_related = ("flow", "work_queue__work_pool")
    search_fields = ("name", "flow__name")
    ordering = ("flow__name", "name")
    empty_text = "No deployments yet. Make one: python manage.py deploy flow.py:my_flow --name prod"
    fields = (
        "work_queue", "paused", "hand_back", "concurrency_limit", "collision_strategy", "description",
        "parameters", "tags",
    )  # fmt: skip
    deletable = True

    def get_urls(self) -> list[URLPattern]:
        run = path(
            "<uuid:deployment_id>/run/",
            self.admin_site.admin_view(self.run_view),
            name="flows_deployment_run",
        )
        lift = path(
            "<uuid:deployment_id>/lift/",
            self.admin_site.admin_view(require_POST(self.lift_view)),
            name="flows_deployment_lift",
        )
        backfill = path(
            "<uuid:deployment_id>/backfill/",
            self.admin_site.admin_view(self.backfill_view),
            name="flows_deployment_backfill",
        )
        return [run, lift, backfill, *super().get_urls()]

    def get_fields(self, request: HttpRequest, obj: Deployment | None = None) -> Any:
        """What is asked of agents is not asked of Prefect's processes."""
        if obj is None or not is_for_prefect(obj):
            return self.fields
        return [name for name in self.fields if name != "hand_back"]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return DeploymentList

    def run_view(self, request: HttpRequest, deployment_id: UUID) -> HttpResponse:
        """The form that starts a run."""
        return run_deployment(request, deployment_id, self.admin_site)

    def lift_view(self, request: HttpRequest, deployment_id: UUID) -> HttpResponse:
        """The button that ends a quarantine. Operators and above."""
        found = get_object_or_404(self.get_queryset(request), pk=deployment_id)
        if not has_role(actor_of(request), Membership.Role.OPERATOR, found.workspace_id):
            raise PermissionDenied("You need the role 'operator' in this workspace to lift a quarantine.")
        if lift_quarantine(found.id):
            messages.success(request, "Its runs start again. If the next one crashes too, it is held again.")
        return redirect("admin:flows_deployment_change", found.pk)

    def backfill_view(self, request: HttpRequest, deployment_id: UUID) -> HttpResponse:
        """The form that plans a backfill."""
        return backfill_deployment(request, deployment_id, self.admin_site)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        deployment = self.get_object(request, object_id)
        context = _about(request, deployment) if deployment else {}
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})

    def save_model(self, request: HttpRequest, obj: Deployment, form: Any, change: bool) -> None:
        """What people change here makes a version, as deploying does."""
        super().save_model(request, obj, form, change)
        note_version(obj)

    def delete_model(self, request: HttpRequest, obj: Deployment) -> None:
        """Its waiting runs go first: without it they could not find their code."""
        delete_deployment(obj)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Counts what goes with it: Django would load every cell of every backfill to list them."""
        names = [str(each) for each in objs]
        counts = {
            "deployments": len(names),
            "schedules": Schedule.objects.filter(deployment__in=objs).count(),
            "backfills, with their cells": Backfill.objects.filter(deployment__in=objs).count(),
        }
        return names, counts, set(), []

    @display(description="flow / deployment")
    def title(self, deployment: Deployment) -> SafeString:
        url = reverse("admin:flows_deployment_change", args=[deployment.pk])
        return format_html(
            '<span title="{}"><span class="quiet">{} /</span> <a class="name" href="{}">{}</a></span>',
            deployment,
            deployment.flow.name,
            url,
            deployment.name,
        )

    @display(description="state")
    def state(self, deployment: Deployment) -> SafeString:
        held = "quarantined" if is_in_quarantine(deployment) else "paused"
        return lamp(not deployment.paused, "active", held)

    @display(description="last runs")
    def last_runs(self, deployment: Any) -> SafeString:
        return bars(deployment.recent)

    @display(description="work queue", ordering="work_queue")
    def queue(self, deployment: Deployment) -> Any:
        return deployment.work_queue or format_html('<span class="quiet">{}</span>', "served by Prefect")

    @display(description="tags")
    def tag_list(self, deployment: Deployment) -> SafeString:
        return tags_of(deployment.tags)

    @display(description="updated")
    def updated_when(self, deployment: Deployment) -> SafeString:
        return when(deployment.updated)


def _about(request: HttpRequest, deployment: Deployment) -> dict[str, Any]:
    """What the page shows beside the form."""
    runs = FlowRun.objects.for_actor(actor_of(request)).filter(deployment=deployment)
    may_run = has_role(actor_of(request), Membership.Role.OPERATOR, deployment.workspace_id)
    return {
        "may_run": may_run,
        "quarantined": is_in_quarantine(deployment),
        "may_schedule": has_role(actor_of(request), Membership.Role.EDITOR, deployment.workspace_id),
        "runs": runs.exclude(COMING).order_by("-created", "-id")[:RUNS_SHOWN],  # those have their own list
        "strip": bars(recent_runs([deployment.pk], count=40)[deployment.pk]),
        "for_prefect": is_for_prefect(deployment),
        "pull_steps": [name for step in deployment.pull_steps for name in step],  # options may hold secrets
        "polled": deployment.last_polled or (deployment.work_queue and deployment.work_queue.last_polled),
        **shown(deployment),
    }
