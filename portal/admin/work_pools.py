"""Work pools, with their queues inline."""

from collections import Counter
from typing import Any

from django import forms
from django.contrib.admin import display
from django.contrib.admin.views.main import ChangeList
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.timezone import now

from agents.models import Worker, WorkPool, WorkQueue
from agents.pools import InUseError, check_type
from portal.admin.agents import lamp
from portal.admin.generic import AnyForm
from portal.admin.looks import NOTHING, when
from portal.admin.scoped import ScopedAdmin, ScopedInline
from runs.models import FlowRun
from runs.models.flow_run import UNDER_WAY

FIELDSETS = (
    (None, {"fields": ("workspace", "name", "type", "worker_type", "description", "concurrency_limit",
                       "paused")}),
    ("Processes", {
        "fields": ("python", "environment", "working_dir", "memory_mb", "cpu_seconds"),
        "description": "For isolated processes: each run gets one of its own, which reaches Portal by HTTP. "
        "What is left empty is the agent's; of its environment a process gets only what programs need to "
        "find their way. People who may look at the pool see these settings: keep secrets in blocks.",
    }),
)  # fmt: skip


class WorkPoolForm(AnyForm):
    """A pool, with room for what is usually written."""

    class Meta:
        model = WorkPool
        fields = "__all__"
        labels = {"memory_mb": "Memory, MiB", "cpu_seconds": "CPU time, s", "working_dir": "Folder"}
        help_texts = {"environment": 'An object of texts: {"CITY": "Oslo"}. Those of a deployment go before.'}
        widgets = {
            "description": forms.Textarea(attrs={"rows": 2}),
            "environment": forms.Textarea(attrs={"rows": 3, "class": "code"}),
        }

    def clean_type(self) -> str:
        wanted: str = self.cleaned_data["type"]
        if not self.instance._state.adding:
            try:
                check_type(WorkPool.objects.get(pk=self.instance.pk), wanted)
            except InUseError as error:
                raise forms.ValidationError(str(error)) from error
        return wanted


class WorkQueueInline(ScopedInline):
    """The pool's queues. Deleting one moves what needs it, so that is left to the API."""

    model = WorkQueue
    fields = ("name", "priority", "concurrency_limit", "paused")
    ordering = ("priority", "name")
    addable = True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may_write(request, obj)


class WorkerInline(ScopedInline):
    """The Prefect workers that poll the pool, as they say themselves."""

    model = Worker
    verbose_name_plural = "workers"
    fields = readonly_fields = ("status", "name", "heard")
    ordering = ("-last_heartbeat_time",)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @display(description="status")
    def status(self, worker: Worker) -> SafeString:
        return lamp(worker.is_online(now()), "online", "silent")

    @display(description="last heard of")
    def heard(self, worker: Worker) -> SafeString:
        return when(worker.last_heartbeat_time)


class WorkPoolList(ChangeList):
    """Counts the runs that are under way in a whole page of pools with one query."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        runs = FlowRun.objects.filter(UNDER_WAY, work_queue__work_pool__in=list(self.result_list))
        held = Counter(runs.values_list("work_queue__work_pool_id", flat=True))
        for pool in self.result_list:
            pool.under_way = held[pool.pk]


class WorkPoolAdmin(ScopedAdmin):
    """Where runs wait, and the switches that hold them back."""

    form = WorkPoolForm
    list_display = ("name", "state", "runs", "queue_names", "type", "workspace", "description")
    list_select_related = ("workspace",)
    search_fields = ("name",)
    ordering = ("name",)
    inlines = (WorkQueueInline, WorkerInline)
    addable = True

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return WorkPoolList

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("queues")

    def get_fieldsets(self, request: HttpRequest, obj: WorkPool | None = None) -> Any:
        """How processes are started is asked where it plays a part."""
        return FIELDSETS[: 2 if obj is None or obj.type == WorkPool.Type.PROCESS else 1]

    def get_inlines(self, request: HttpRequest, obj: WorkPool | None = None) -> Any:
        """Workers come to pools of Prefect's alone."""
        return self.inlines if obj and obj.type == WorkPool.Type.PREFECT else self.inlines[:1]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Agents were started with these names."""
        return ("workspace", "name") if obj else ()

    @display(description="state")
    def state(self, pool: WorkPool) -> str:
        return lamp(not pool.paused, "open", "paused")

    @display(description="under way")
    def runs(self, pool: Any) -> str:
        if pool.concurrency_limit is None:
            return str(pool.under_way) if pool.under_way else NOTHING
        return f"{pool.under_way} of {pool.concurrency_limit}"

    @display(description="queues")
    def queue_names(self, pool: WorkPool) -> str:
        queues = sorted(pool.queues.all(), key=lambda queue: (queue.priority, queue.name))
        return ", ".join(map(_named, queues))


def _named(queue: WorkQueue) -> str:
    """The queue's name, and what holds its runs back."""
    notes = ["paused"] if queue.paused else []
    if queue.concurrency_limit is not None:
        notes.append(f"at most {queue.concurrency_limit}")
    return f"{queue.name} ({', '.join(notes)})" if notes else queue.name
