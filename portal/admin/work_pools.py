"""Work pools, with their queues inline."""

from typing import Any

from django import forms
from django.contrib.admin import display
from django.contrib.admin.views.main import ChangeList
from django.db.models import Prefetch
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.timezone import now

from agents.models import Worker, WorkPool, WorkQueue
from agents.pools import InUseError, check_type
from portal.admin.agents import lamp
from portal.admin.generic import AnyForm
from portal.admin.looks import NOTHING, when
from portal.admin.scoped import ScopedAdmin, ScopedInline
from portal.pages.pool_queues import counted, lines

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
    """Knows how the queues of a whole page of pools stand, by three queries."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        for pool in self.result_list:
            pool.lines = []
        pools = {pool.pk: pool for pool in self.result_list}
        for line in lines([queue for pool in self.result_list for queue in pool.queues.all()]):
            pools[line.queue.work_pool_id].lines.append(line)


class WorkPoolAdmin(ScopedAdmin):
    """Where runs wait, and the switches that hold them back."""

    form = WorkPoolForm
    change_form_template = "portal/work_pool.html"
    list_display = (
        "name",
        "state",
        "runs",
        "waiting",
        "agents",
        "queue_names",
        "type",
        "workspace",
        "description",
    )
    list_select_related = ("workspace",)
    search_fields = ("name",)
    ordering = ("name",)
    inlines = (WorkQueueInline, WorkerInline)
    addable = True

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return WorkPoolList

    def get_queryset(self, request: HttpRequest) -> Any:
        queues = WorkQueue.objects.select_related("work_pool__workspace")
        return super().get_queryset(request).prefetch_related(Prefetch("queues", queues))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        pool = self.get_object(request, object_id)
        context = _standing(pool) if pool else {}
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})

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
        under_way = sum(line.under_way for line in pool.lines)
        if pool.concurrency_limit is None:
            return str(under_way) if under_way else NOTHING
        return f"{under_way} of {pool.concurrency_limit}"

    @display(description="waiting")
    def waiting(self, pool: Any) -> str:
        due = sum(line.due for line in pool.lines)
        return counted(due) if due else NOTHING

    @display(description="agents")
    def agents(self, pool: Any) -> SafeString | str:
        """How many serve each queue at least; a queue whose runs wait for nobody is told."""
        if pool.type == WorkPool.Type.PREFECT:
            return NOTHING
        forsaken = [line.queue.name for line in pool.lines if line.due and not line.agents]
        if forsaken:
            return lamp(False, "", f"none for {', '.join(forsaken)}")
        most = max((line.agents for line in pool.lines), default=0)
        return f"{most} online" if most else NOTHING

    @display(description="queues")
    def queue_names(self, pool: WorkPool) -> str:
        queues = sorted(pool.queues.all(), key=lambda queue: (queue.priority, queue.name))
        return ", ".join(map(_named, queues))


def _standing(pool: WorkPool) -> dict[str, Any]:
    """For the page of a pool: how it stands."""
    return {
        "standing": lamp(not pool.paused, "open", "paused"),
        "for_prefect": pool.type == WorkPool.Type.PREFECT,
        "lines": lines(list(pool.queues.all())),
    }


def _named(queue: WorkQueue) -> str:
    """The queue's name, and what holds its runs back."""
    notes = ["paused"] if queue.paused else []
    if queue.concurrency_limit is not None:
        notes.append(f"at most {queue.concurrency_limit}")
    return f"{queue.name} ({', '.join(notes)})" if notes else queue.name
