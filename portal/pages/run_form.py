"""The page that starts a run of a deployment."""

from typing import Any
from uuid import UUID

from django import forms
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, QueryDict
from django.http.response import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from flows.models import Deployment, Membership
from flows.scoping import Actor
from portal.access.actors import actor_of, has_role
from portal.pages.parameter_form import PREFIX, ParameterForm, fields_of
from runs.create import create_flow_run
from runs.models import FlowRun
from runs.retrying import run_again


class RunForm(ParameterForm):
    """The parameters, and how the run is called and when it is due; filled in as they were in `like`."""

    run_name = forms.CharField(
        label="name", required=False, max_length=200, help_text="Two words are made up if it is empty."
    )
    scheduled_time = forms.DateTimeField(
        label="due", required=False, help_text="In UTC, as 2031-05-17 06:00. Empty: now."
    )
    reuse_results = forms.BooleanField(
        label="reuse results",
        required=False,
        help_text="Take what the earlier run computed where task, code and inputs are the same.",
    )

    def __init__(self, deployment: Deployment, like: FlowRun | None, data: QueryDict | None) -> None:
        schema = deployment.parameter_openapi_schema
        filled = fields_of(schema, like.parameters) if like else {}
        initial = {PREFIX + name: field.initial for name, field in filled.items()}
        super().__init__(schema, deployment.parameters, data, initial=initial)
        self.like = like

    def about_run(self) -> list[forms.BoundField]:
        return [self["run_name"], self["reuse_results" if self.like else "scheduled_time"]]


def run_deployment(request: HttpRequest, deployment_id: UUID, site: AdminSite) -> HttpResponse:
    """Show the form; on a good POST create the run and go to its page. Operators and above.

    `?like=<id of a run>` begins with the parameters of that run.
    """
    actor = actor_of(request)
    deployments = Deployment.objects.for_actor(actor).select_related("flow")
    deployment = get_object_or_404(deployments, pk=deployment_id)
    if not has_role(actor, Membership.Role.OPERATOR, deployment.workspace_id):
        raise PermissionDenied("You need the role 'operator' in this workspace to run a deployment.")
    form = RunForm(deployment, _like(request, deployment), request.POST if request.method == "POST" else None)
    if form.is_valid():
        run = _create(deployment, form, actor)
        return redirect("admin:runs_flowrun_change", run.pk)
    context: dict[str, Any] = {
        **site.each_context(request),
        "title": f"Run {deployment}" + (f" again, like {form.like.name}" if form.like else ""),
        "deployment": deployment,
        "form": form,
    }
    return render(request, "portal/run_form.html", context)


def _like(request: HttpRequest, deployment: Deployment) -> FlowRun | None:
    """The run of this deployment that `?like` names, if there is one."""
    try:
        run_id = UUID(request.GET.get("like", ""))
    except ValueError:
        return None
    found: FlowRun | None = FlowRun.objects.filter(deployment=deployment, id=run_id).first()
    return found


def _create(deployment: Deployment, form: RunForm, actor: Actor) -> FlowRun:
    given = form.cleaned_data
    if form.like is not None:
        reuse = given["reuse_results"]
        return run_again(form.like, form.parameters(), actor, reuse_results=reuse, name=given["run_name"])
    return create_flow_run(
        deployment,
        parameters=form.parameters(),
        name=given["run_name"] or None,
        scheduled_time=given["scheduled_time"],
        created_by=actor.as_json(),
    )
