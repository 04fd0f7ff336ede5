"""The page of one flow run: live state, tasks, logs, and what one may do about it."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.views.decorators.http import require_GET, require_POST

from flows.models import Membership
from flows.sdk.recorder import Status
from portal.access.actors import actor_of, has_role
from portal.pages.pausing import answer_form, resume_with, suspend
from portal.pages.run_changes import BadCursorError, Cursors, changes_of, log_lines_as_text
from portal.pages.run_lines import Wanted, older_lines
from portal.pages.run_view import RunView
from runs.cancel import cancel
from runs.models import FlowRun
from runs.models.flow_run import TERMINAL
from runs.order import run_next
from runs.retrying import NoSuchTaskError, find_task_run, retry, run_again
from runs.session import DjangoSession

PAGE = "admin:runs_flowrun_change"
FRAGMENTS = ("header", "actions", "notices", "answer", "facts", "artifacts", "history")


def urls(site: AdminSite) -> list[URLPattern]:
    """The page's routes, to stand before those of the flow runs' ModelAdmin."""
    views = {
        "": (require_GET(_page), "runs_flowrun_change"),
        "changes": (require_GET(_changes), "runs_flowrun_changes"),
        "lines": (require_GET(_lines), "runs_flowrun_lines"),
        "logs.txt": (require_GET(_logs), "runs_flowrun_logs"),
        "cancel": (require_POST(_cancel), "runs_flowrun_cancel"),
        "next": (require_POST(_next), "runs_flowrun_next"),
        "resume": (require_POST(_resume), "runs_flowrun_resume"),
        "suspend": (require_POST(_suspend), "runs_flowrun_suspend"),
        "again": (require_POST(_again), "runs_flowrun_again"),
        "retry": (require_POST(_retry), "runs_flowrun_retry"),
    }
    return [
        path(f"<uuid:run_id>/{tail}", site.admin_view(view), {"site": site}, name=name)
        for tail, (view, name) in views.items()
    ]


def _page(request: HttpRequest, run_id: UUID, site: AdminSite) -> HttpResponse:
    run = _visible(request, run_id)
    return _shown(request, site, run, _context(request, run))


def _shown(request: HttpRequest, site: AdminSite, run: FlowRun, about: dict[str, Any]) -> HttpResponse:
    context = {
        **site.each_context(request),
        **about,
        "title": run.name,
        "opts": FlowRun._meta,
    }
    return TemplateResponse(request, "portal/flow_run.html", context)


def _changes(request: HttpRequest, run_id: UUID, site: AdminSite) -> HttpResponse:
    """What changed since the cursors in the query, and the page's parts as they are now."""
    run = _visible(request, run_id)
    try:
        cursors = Cursors.of(request.GET)
    except BadCursorError as error:
        return JsonResponse({"error": str(error)}, status=400)
    context = _context(request, run)
    html = {name: render_to_string(f"portal/run/{name}.html", context, request) for name in FRAGMENTS}
    return JsonResponse({**changes_of(run, cursors), "html": html})


def _lines(request: HttpRequest, run_id: UUID, site: AdminSite) -> HttpResponse:
    """Older log lines than the page has, all of them or those that it searches for."""
    run = _visible(request, run_id)
    try:
        return JsonResponse(older_lines(run, Wanted.of(request.GET)))
    except BadCursorError as error:
        return JsonResponse({"error": str(error)}, status=400)
    except OperationalError:
        text = "The search took too long. Download the log, and search there."
        return JsonResponse({"error": text}, status=503)


def _logs(request: HttpRequest, run_id: UUID, site: AdminSite) -> StreamingHttpResponse:
    """All log lines as a text file."""
    run = _visible(request, run_id)
    response = StreamingHttpResponse(log_lines_as_text(run), content_type="text/plain; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{run.id}.log"'
    return response


def _cancel(request: HttpRequest, run_id: UUID, site: AdminSite) -> HttpResponse:
    """Ask the run to stop, or end it at once with `force`; what has no process is cancelled at once."""
    run = _operable(request, run_id)
    verdict = cancel(DjangoSession(), run.id, actor_of(request).name, force="force" in request.POST)
    if run.state_type in TERMINAL or verdict.state is None:
        messages.warning(request, f"{run.name} is over already: there was nothing to cancel.")
    return redirect(PAGE, run.id)


def _next(request: HttpRequest, run_id: UUID, site: AdminSite) -> HttpResponse:
    """Let the run go before all others of its queue."""
    run = _operable(request, run_id)
    if not run_next(DjangoSession(), run.id):
        messages.warning(request, f"{run.name} waits in no queue any more.")
    return redirect(PAGE, run.id)


def _resume(request: HttpRequest, run_id: UUID, site: AdminSite) -> HttpResponse:
    """Let a paused run go on; an answer that does not fit comes back with what is wrong with it."""
    run = _operable(request, run_id)
    about = _context(request, run)
    form = about["answer_form"]
    if form is not None and not form.is_valid():
        return _shown(request, site, run, about)
    resume_with(request, run, form)
    return redirect(PAGE, run.id)


def _suspend(request: HttpRequest, run_id: UUID, site: AdminSite) -> HttpResponse:
    """Take a running run from its process until somebody resumes it."""
    run = _operable(request, run_id)
    suspend(request, run)
    return redirect(PAGE, run.id)


def _again(request: HttpRequest, run_id: UUID, site: AdminSite) -> HttpResponse:
    """A new run of the same deployment with the same parameters."""
    run = _operable(request, run_id)
    if run.deployment is None:
        messages.error(request, "Its deployment is gone, so it cannot be run again.")
        return redirect(PAGE, run.id)
    new = run_again(run, run.parameters, actor_of(request))
    return redirect(PAGE, new.id)


def _retry(request: HttpRequest, run_id: UUID, site: AdminSite) -> HttpResponse:
    """Reopen a run that has ended; from the task run `from_task` on, if one is given, all is done anew."""
    run = _operable(request, run_id)
    chosen = request.POST.get("from_task", "")
    try:
        from_task = find_task_run(run.id, chosen) if chosen else None
    except NoSuchTaskError as error:
        messages.error(request, str(error))
        return redirect(PAGE, run.id)
    verdict = retry(DjangoSession(), run.id, actor_of(request), from_task=from_task)
    if verdict.status is not Status.ACCEPT:
        messages.warning(request, f"This run cannot be retried: {verdict.reason}.")
    return redirect(PAGE, run.id)


def _context(request: HttpRequest, run: FlowRun) -> dict[str, Any]:
    may_operate = has_role(actor_of(request), Membership.Role.OPERATOR, run.workspace_id)
    view = RunView(run)
    form = answer_form(view.pause, request)
    return {"run": run, "view": view, "answer_form": form, "may_operate": may_operate}


def _visible(request: HttpRequest, run_id: UUID) -> FlowRun:
    """The run, if the user may see it; otherwise it is not there."""
    related = (
        "flow",
        "deployment",
        "agent",
        "work_queue__work_pool__workspace",
        "schedule",
        "rerun_of",
        "backfill",
    )
    runs = FlowRun.objects.for_actor(actor_of(request)).select_related(*related)
    run: FlowRun | None = runs.filter(id=run_id).first()
    if run is None:
        raise Http404("There is no such flow run.")
    return run


def _operable(request: HttpRequest, run_id: UUID) -> FlowRun:
    run = _visible(request, run_id)
    if not has_role(actor_of(request), Membership.Role.OPERATOR, run.workspace_id):
        raise PermissionDenied("Your role in this workspace does not allow this.")
    return run
