"""The page that starts a run of a deployment."""

from typing import Any
from uuid import UUID

from django import forms
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.http.response import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from flows.models import Deployment, Membership
from flows.scoping import Actor
from portal.access.actors import actor_of, has_role
from portal.pages.parameter_form import ParameterForm
from runs.create import create_flow_run
from runs.models import FlowRun


class RunForm(ParameterForm):
    """The parameters, and how the run is called and when it is due."""

    run_name = forms.CharField(
        label="name", required=False, max_length=200, help_text="Two words are made up if it is empty."
    )
    scheduled_time = forms.DateTimeField(
        label="due", required=False, help_text="In UTC, as 2031-05-17 06:00. Empty: now."
    )

    def about_run(self) -> list[forms.BoundField]:
        return [self["run_name"], self["scheduled_time"]]


def run_deployment(request: HttpRequest, deployment_id: UUID, site: AdminSite) -> HttpResponse:
    """Show the form; on a good POST create the run and go to its page. Operators and above."""
    actor = actor_of(request)
    deployments = Deployment.objects.for_actor(actor).select_related("flow")
    deployment = get_object_or_404(deployments, pk=deployment_id)
    if not has_role(actor, Membership.Role.OPERATOR, deployment.workspace_id):
        raise PermissionDenied("You need the role 'operator' in this workspace to run a deployment.")
    data = request.POST if request.method == "POST" else None
    form = RunForm(deployment.parameter_openapi_schema, deployment.parameters, data)
    if form.is_valid():
        run = _create(deployment, form, actor)
        return redirect("admin:runs_flowrun_change", run.pk)
    context: dict[str, Any] = {
        **site.each_context(request),
        "title": f"Run {deployment}",
        "deployment": deployment,
        "form": form,
    }
    return render(request, "portal/run_form.html", context)


def _create(deployment: Deployment, form: RunForm, actor: Actor) -> FlowRun:
    return create_flow_run(
        deployment,
        parameters=form.parameters(),
        name=form.cleaned_data["run_name"] or None,
        scheduled_time=form.cleaned_data["scheduled_time"],
        created_by=actor.as_json(),
    )
