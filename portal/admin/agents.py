"""Agents and service loops: facts that they report themselves, so nothing can be changed here."""

from collections import defaultdict
from typing import Any

from django.contrib.admin import display
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timezone import now

from agents.health import is_silent
from agents.models import Agent, ServiceStatus, WorkQueue
from agents.registry import OFFLINE_AFTER, spoken_name
from portal.access.actors import actor_of
from portal.admin.looks import NOTHING, when
from portal.admin.scoped import ScopedAdmin
from runs.models import FlowRun


def visible_agents(request: HttpRequest) -> QuerySet[Agent]:
    """The agents that serve a queue which the user may see; a superuser sees all."""
    if request.user.is_superuser:
        return Agent.objects.all()
    queues = WorkQueue.objects.for_actor(actor_of(request)).values_list("id", flat=True)
    return Agent.objects.filter(queues__overlap=list(queues))


def lamp(is_on: bool, yes: str, no: str) -> SafeString:
    """A dot and a word."""
    return format_html('<span class="lamp {}">{}</span>', "on" if is_on else "off", yes if is_on else no)


def agent_lamp(agent: Agent) -> SafeString:
    """Whether an agent takes runs, or why not."""
    if agent.refused:
        return format_html('<span class="lamp off" title="{}">refused</span>', agent.refused)
    if agent.stopped:
        return lamp(False, "", "stopped")
    if now() - agent.last_seen >= OFFLINE_AFTER:
        return lamp(False, "", "silent")
    return lamp(agent.draining is None, "online", "draining")


def is_at_work(service: ServiceStatus) -> bool:
    """Whether a loop was heard of lately, and its last step went well."""
    if service.last_success is None or is_silent(service, now()):
        return False
    return service.last_error_time is None or service.last_error_time <= service.last_success


def service_lamp(service: ServiceStatus) -> SafeString:
    """Whether a loop works, fails, or has not been heard of for too long."""
    if is_at_work(service):
        return lamp(True, "working", "")
    silent = service.last_success is None or is_silent(service, now())
    return lamp(False, "", "silent" if silent else "failing")


class Facts(ScopedAdmin):
    """Pages that only show."""

    list_display_links = None

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class AgentList(ChangeList):
    """Reads the queues and the current runs of a whole page of agents in two queries."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        actor, agents = actor_of(request), list(self.result_list)
        runs = FlowRun.objects.for_actor(actor).filter(agent__in=agents, leased=True)
        current = defaultdict(list)
        for run in runs.order_by("claimed_time").only("id", "name", "agent_id"):
            current[run.agent_id].append(run)
        served = {queue_id for agent in agents for queue_id in agent.queues}
        queues = WorkQueue.objects.for_actor(actor).select_related("work_pool__workspace").in_bulk(served)
        for agent in agents:
            agent.current = current[agent.id]
            agent.served = [queues[queue_id] for queue_id in agent.queues if queue_id in queues]
        self.result_list = agents


class AgentAdmin(Facts):
    """Who is there, since when, and what they are doing."""

    list_display = ("status", "title", "serves", "runs", "versions", "since", "seen")
    ordering = ("-last_seen",)
    empty_text = "No agent was ever here. Start one: python manage.py rqworker default"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return visible_agents(request)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return AgentList

    @display(description="status")
    def status(self, agent: Agent) -> SafeString:
        return agent_lamp(agent)

    @display(description="agent")
    def title(self, agent: Agent) -> SafeString:
        return format_html(
            '<span class="name" title="{}">{}</span> <span class="quiet">process {} on {}</span>',
            agent.name,
            agent.name,
            agent.pid,
            agent.hostname,
        )

    @display(description="queues")
    def serves(self, agent: Any) -> str:
        names = ((spoken_name(queue),) for queue in agent.served)
        return format_html_join(" ", '<span class="tag">{}</span>', names) or NOTHING

    @display(description="running")
    def runs(self, agent: Any) -> str:
        links = ((reverse("admin:runs_flowrun_change", args=[run.id]), run.name) for run in agent.current)
        return format_html_join(", ", '<a class="name" href="{}">{}</a>', links) or NOTHING

    @display(description="version")
    def versions(self, agent: Agent) -> SafeString:
        return format_html('{} <span class="quiet">Python {}</span>', agent.version, agent.python or NOTHING)

    @display(description="started")
    def since(self, agent: Agent) -> SafeString:
        return when(agent.started)

    @display(description="last seen")
    def seen(self, agent: Agent) -> SafeString:
        return when(agent.last_seen)


class ServiceStatusAdmin(Facts):
    """Whether the orchestrator itself is alive. Not of a workspace: staff may see it."""

    heading = "Services"
    list_display = ("status", "name", "hostname", "pid", "worked", "took", "last_error")
    ordering = ("-last_success",)
    empty_text = "No scheduler was ever here. Start one: python manage.py scheduler"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return ServiceStatus.objects.all()

    @display(description="status")
    def status(self, service: ServiceStatus) -> SafeString:
        return service_lamp(service)

    @display(description="last worked")
    def worked(self, service: ServiceStatus) -> SafeString:
        return when(service.last_success)

    @display(description="took")
    def took(self, service: ServiceStatus) -> str:
        return f"{service.duration_ms:.1f} ms"
