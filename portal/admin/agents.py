"""Agents and service loops: facts that they report themselves, so nothing can be changed here."""

from datetime import timedelta
from typing import Any

from django.contrib.admin import display
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import now

from agents.models import Agent, ServiceStatus, WorkQueue
from agents.registry import OFFLINE_AFTER
from portal.access.actors import actor_of
from portal.admin.looks import when
from portal.admin.scoped import ScopedAdmin

SILENT_AFTER = timedelta(seconds=20)  # beyond the loop's own period


def visible_agents(request: HttpRequest) -> QuerySet[Agent]:
    """The agents that serve a queue which the user may see; a superuser sees all."""
    if request.user.is_superuser:
        return Agent.objects.all()
    queues = WorkQueue.objects.for_actor(actor_of(request)).values_list("id", flat=True)
    return Agent.objects.filter(queues__overlap=list(queues))


def lamp(is_on: bool, yes: str, no: str) -> SafeString:
    """A dot and a word."""
    return format_html('<span class="lamp {}">{}</span>', "on" if is_on else "off", yes if is_on else no)


def service_lamp(service: ServiceStatus) -> SafeString:
    """Whether a loop works, fails, or has not been heard of for too long."""
    silent_after = SILENT_AFTER + timedelta(seconds=service.every)
    if service.last_success is None or now() - service.last_success > silent_after:
        return lamp(False, "", "silent")
    failing = service.last_error_time is not None and service.last_error_time > service.last_success
    return lamp(not failing, "working", "failing")


class Facts(ScopedAdmin):
    """Pages that only show."""

    list_display_links = None

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class AgentAdmin(Facts):
    """Who is there, and since when."""

    list_display = ("status", "name", "hostname", "pid", "serves", "version", "since", "seen")
    ordering = ("-last_seen",)
    empty_text = "No agent was ever here. Start one: python manage.py rqworker default"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return visible_agents(request)

    @display(description="status")
    def status(self, agent: Agent) -> SafeString:
        online = agent.stopped is None and now() - agent.last_seen < OFFLINE_AFTER
        return lamp(online, "online", "stopped" if agent.stopped else "silent")

    @display(description="queues")
    def serves(self, agent: Agent) -> str:
        return str(len(agent.queues))

    @display(description="started")
    def since(self, agent: Agent) -> SafeString:
        return when(agent.started)

    @display(description="last seen")
    def seen(self, agent: Agent) -> SafeString:
        return when(agent.last_seen)


class ServiceStatusAdmin(Facts):
    """Whether the orchestrator itself is alive. Not of a workspace: staff may see it."""

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
