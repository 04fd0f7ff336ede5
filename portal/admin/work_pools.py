"""Work pools, with their queues inline."""

from typing import Any

from django.contrib.admin import display
from django.http import HttpRequest

from agents.models import WorkPool, WorkQueue
from portal.admin.agents import lamp
from portal.admin.scoped import ScopedAdmin, ScopedInline


class WorkQueueInline(ScopedInline):
    """The pool's queues. One with deployments or runs cannot be deleted; pause it instead."""

    model = WorkQueue
    fields = ("name", "priority", "paused")
    ordering = ("priority", "name")
    addable = True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may_write(request, obj)


class WorkPoolAdmin(ScopedAdmin):
    """Where runs wait, and the switches that hold them back."""

    list_display = ("name", "state", "queue_names", "type", "workspace", "description")
    list_select_related = ("workspace",)
    search_fields = ("name",)
    ordering = ("name",)
    fields = ("workspace", "name", "type", "description", "paused")
    inlines = (WorkQueueInline,)
    addable = True

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("queues")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Agents were started with these names."""
        return ("workspace", "name") if obj else ()

    @display(description="state")
    def state(self, pool: WorkPool) -> str:
        return lamp(not pool.paused, "open", "paused")

    @display(description="queues")
    def queue_names(self, pool: WorkPool) -> str:
        queues = sorted(pool.queues.all(), key=lambda queue: (queue.priority, queue.name))
        return ", ".join(f"{queue.name} (paused)" if queue.paused else queue.name for queue in queues)
