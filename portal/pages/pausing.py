"""The run page's part about pausing: the form that answers a paused run, and what its buttons do."""

from datetime import timedelta

from django.contrib import messages
from django.http import HttpRequest

from flows.sdk.recorder import Status, Verdict
from portal.access.actors import actor_of
from portal.pages.parameter_form import ParameterForm
from runs.models import FlowRun
from runs.models.flow_run import StateType
from runs.pausing import Pause, pause_of
from runs.resume import resume, suspended_by
from runs.session import DjangoSession
from runs.transition import transition

SUSPENDED_FOR = timedelta(days=7)


def pause_of_run(run: FlowRun) -> Pause | None:
    """The pause that the run is in."""
    if run.state_type != StateType.PAUSED:
        return None
    with DjangoSession().transaction() as tx:
        return pause_of(tx, run.id)


def answer_form(pause: Pause | None, request: HttpRequest) -> ParameterForm | None:
    """The form made of what the run asks; None if it asks nothing."""
    if pause is None or pause.schema is None:
        return None
    return ParameterForm(pause.schema, {}, request.POST if request.method == "POST" else None)


def resume_with(request: HttpRequest, run: FlowRun, form: ParameterForm | None) -> None:
    """Resume the run with what is in the form, which is valid, and say so if that was refused."""
    run_input = form.parameters() if form is not None else None
    actor = actor_of(request)
    _tell_if_refused(request, run, resume(DjangoSession(), run.id, run_input, actor.as_json()), "resumed")


def suspend(request: HttpRequest, run: FlowRun) -> None:
    """Take the run from its process; it fails if nobody resumes it within a week."""
    state = suspended_by(actor_of(request), SUSPENDED_FOR)
    _tell_if_refused(request, run, transition(DjangoSession(), run.id, state), "suspended")


def _tell_if_refused(request: HttpRequest, run: FlowRun, verdict: Verdict, participle: str) -> None:
    if verdict.status is not Status.ACCEPT:
        messages.warning(request, f"{run.name} was not {participle}: {verdict.reason}.")
