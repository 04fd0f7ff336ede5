"""The page of one background task: its state and what it waits for, its history and log, cancel and retry."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, Subquery
from django.db.models.functions import Left, Length
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_GET, require_POST

from agents.models import WorkQueue
from flows.models import Membership
from portal import background_bell
from portal.access.actors import actor_of, has_role
from portal.pages.run_changes import LOG_MESSAGE_CHARACTERS
from runs import background, errands
from runs.logs import of_background_task
from runs.models import BackgroundTask, Errand
from runs.models.flow_run import TERMINAL, StateType
from runs.session import DjangoSession

PAGE = "admin:runs_backgroundtask_change"
MOST_LINES = 500
MAY_BE_RETRIED = frozenset({StateType.FAILED, StateType.CRASHED})


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a task waits for, and what to do about it."""

    text: str
    fix: str = ""
    url: str = ""


def urls(site: AdminSite) -> list[URLPattern]:
    """The page's routes, to stand before those of the tasks' ModelAdmin."""
    views = {
        "": (require_GET(_page), "runs_backgroundtask_change"),
        "cancel": (require_POST(_cancel), "runs_backgroundtask_cancel"),
        "retry": (require_POST(_retry), "runs_backgroundtask_retry"),
    }
    return [
        path(f"<uuid:task_id>/{tail}", site.admin_view(view), {"site": site}, name=name)
        for tail, (view, name) in views.items()
    ]


def queue_link(queue: WorkQueue) -> SafeString:
    """The queue's name, leading to its pool, where it is changed."""
    url = reverse("admin:agents_workpool_change", args=[queue.work_pool_id])
    return format_html('<a href="{}">{}</a>', url, queue.name)


def _page(request: HttpRequest, task_id: UUID, site: AdminSite) -> HttpResponse:
    task = _visible(request, task_id)
    errand = _errand(task)
    lines = of_background_task(task).annotate(head=Left("message", LOG_MESSAGE_CHARACTERS)).reverse()
    newest = list(lines.values("timestamp", "level", "head")[: MOST_LINES + 1])
    context = {
        **site.each_context(request),
        "title": task.name,
        "opts": BackgroundTask._meta,
        "task": task,
        "errand": errand,
        "queue": queue_link(errand.work_queue) if errand else "",
        "waiting": _waiting(task, errand) if errand and task.state_type == StateType.SCHEDULED else None,
        "history": list(task.states.order_by("attempt", "sequence", "timestamp")[:100]),
        "lines": newest[:MOST_LINES][::-1],
        "is_cut": len(newest) > MOST_LINES,
        "is_over": task.state_type in TERMINAL,
        "may_cancel": task.state_type not in TERMINAL and _may_operate(request, task),
        "may_retry": _may_be_retried(task, errand) and _may_operate(request, task),
    }
    return TemplateResponse(request, "portal/background_task.html", context)


def _errand(task: BackgroundTask) -> Any:
    """Its errand without what is packed in it, which only workers open; None once it is forgotten."""
    sizes = Errand.objects.filter(id=OuterRef("id")).values(size=Length("payload"))
    found = Errand.objects.filter(id=task.id).select_related("work_queue__work_pool__workspace")
    return found.defer("payload", "answer").annotate(size=Subquery(sizes)).first()


def _waiting(task: BackgroundTask, errand: Errand) -> Waiting:
    queue, pool = errand.work_queue, errand.work_queue.work_pool
    serve = f"Run a process that serves {task.task_key}: docs/background-tasks.md."
    if not errand.for_agents:
        return Waiting(
            "Its code cannot be sent to agents: it waits for a process that serves the task.", serve
        )
    url = reverse("admin:agents_workpool_change", args=[pool.id])
    if queue.paused or pool.paused:
        held = f"Queue '{queue.name}'" if queue.paused else f"Work pool '{pool.name}'"
        return Waiting(f"{held} is paused for agents.", "Resume it.", url)
    with DjangoSession().transaction() as tx:
        agents = errands.agents_serving(tx, queue.id)
    if not agents:
        text = f"No agent serves queue '{queue.name}', and no process that serves the task took it."
        return Waiting(text, f"python manage.py rqworker {queue.name}", url)
    return Waiting("It waits until an agent of its queue is free: runs of flows go first.", "", url)


def _cancel(request: HttpRequest, task_id: UUID, site: AdminSite) -> HttpResponse:
    task = _operable(request, task_id)
    with DjangoSession().transaction() as tx:
        if not background.cancel(tx, task.id, _workspace_id(task)):
            messages.warning(request, f"{task.name} is over already: there was nothing to cancel.")
    return redirect(PAGE, task.id)


def _retry(request: HttpRequest, task_id: UUID, site: AdminSite) -> HttpResponse:
    task = _operable(request, task_id)
    with DjangoSession().transaction() as tx:
        tx.on_commit(lambda: background_bell.ring(_workspace_id(task)))
        if not background.retry(tx, task.id, _workspace_id(task), actor_of(request).name):
            messages.warning(
                request, f"{task.name} cannot be retried: only what failed or crashed lately can."
            )
    return redirect(PAGE, task.id)


def _workspace_id(task: BackgroundTask) -> UUID:
    assert task.workspace_id is not None, "task runs outside of flows have one"
    return task.workspace_id


def _may_be_retried(task: BackgroundTask, errand: Any) -> bool:
    return task.state_type in MAY_BE_RETRIED and errand is not None and errand.size > 0


def _may_operate(request: HttpRequest, task: BackgroundTask) -> bool:
    return has_role(actor_of(request), Membership.Role.OPERATOR, _workspace_id(task))


def _visible(request: HttpRequest, task_id: UUID) -> BackgroundTask:
    """The task, if the user may see it; otherwise it is not there."""
    tasks = BackgroundTask.objects.for_actor(actor_of(request)).filter(flow_run=None, id=task_id)
    task: BackgroundTask | None = tasks.first()
    if task is None:
        raise Http404("There is no such background task.")
    return task


def _operable(request: HttpRequest, task_id: UUID) -> BackgroundTask:
    task = _visible(request, task_id)
    if not _may_operate(request, task):
        raise PermissionDenied("Your role in this workspace does not allow this.")
    return task
