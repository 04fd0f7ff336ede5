"""The list of background tasks: calls of tasks that were handed in, and what became of them."""

from typing import Any
from uuid import UUID

from django.contrib.admin import display
from django.db.models import Q
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from portal.admin.filters import StateFilter, WorkspaceFilter
from portal.admin.flow_runs import seconds_of
from portal.admin.keyset import KeysetChangeList
from portal.admin.looks import NOTHING, badge, head_line, span, when
from portal.admin.scoped import ScopedAdmin
from portal.pages import background_task as page
from runs.models import BackgroundTask, Errand

MOST_OF_A_WORKER = 32  # characters


def older_than(cursor: str) -> Q:
    """What was handed in before the task with this id."""
    try:
        return Q(id__lt=UUID(cursor))
    except ValueError:
        return Q()


class BackgroundTaskList(KeysetChangeList):
    """By id, which grows with time. Reads the errands of a whole page in one query."""

    cursor_of = staticmethod(lambda row: str(row.pk))
    older_than = staticmethod(older_than)

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        found = Errand.objects.filter(id__in=[each.pk for each in self.result_list])
        of_id = {
            each.id: each for each in found.select_related("work_queue__work_pool").defer("payload", "answer")
        }
        for each in self.result_list:
            each.errand = of_id.get(each.pk)


class BackgroundTaskAdmin(ScopedAdmin):
    """Facts: tasks are handed in by code."""

    change_list_template = "portal/background_tasks.html"
    heading = "Background tasks"
    list_display = ("state", "title", "reason", "queue", "by", "created_when", "duration", "tries")
    list_display_links = None
    list_filter = (("state_type", StateFilter), WorkspaceFilter)
    ordering = ("-id",)
    empty_text = SafeString(
        "No background tasks yet. Call a task without waiting for it: <code>send_receipt.delay(42)</code>."
    )

    def get_urls(self) -> list[Any]:
        """Our page stands where Django has its form."""
        stock = [url for url in super().get_urls() if url.name not in {None, "runs_backgroundtask_change"}]
        return page.urls(self.admin_site) + stock

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[KeysetChangeList]:
        return BackgroundTaskList

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).filter(flow_run=None)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @display(description="state")
    def state(self, task: BackgroundTask) -> SafeString:
        return badge(task.state_type, task.state_name)

    @display(description="call")
    def title(self, task: BackgroundTask) -> SafeString:
        url = reverse("admin:runs_backgroundtask_change", args=[task.pk])
        return format_html('<a class="name" href="{}" title="{}">{}</a>', url, task.task_key, task.name)

    @display(description="reason or error")
    def reason(self, task: BackgroundTask) -> SafeString:
        message = task.state_message
        return format_html('<span class="clip" title="{}">{}</span>', message[:2000], head_line(message))

    @display(description="queue")
    def queue(self, task: Any) -> SafeString | str:
        return page.queue_link(task.errand.work_queue) if task.errand else NOTHING

    @display(description="worker")
    def by(self, task: Any) -> SafeString | str:
        worker = task.errand.worker if task.errand else ""
        if not worker:
            return NOTHING
        return format_html('<span title="{}">{}</span>', worker, Truncator(worker).chars(MOST_OF_A_WORKER))

    @display(description="age")
    def created_when(self, task: BackgroundTask) -> SafeString:
        return when(task.created)

    @display(description="duration")
    def duration(self, task: Any) -> str:
        seconds = seconds_of(task)
        return NOTHING if seconds is None else span(seconds)

    @display(description="tries")
    def tries(self, task: BackgroundTask) -> int:
        return task.run_count
