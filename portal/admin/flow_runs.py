"""The list of runs. Runs are facts: nobody adds or edits one."""

from typing import Any

from django.contrib.admin import display
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import now

from agents.waiting import NEEDED, first_reasons
from portal.admin.filters import ComingFilter, ScopedRelatedFilter, StateFilter, WorkspaceFilter
from portal.admin.keyset import KeysetChangeList
from portal.admin.looks import NOTHING, badge, head_line, span, tags_of, when
from portal.admin.scoped import ScopedAdmin
from portal.pages import flow_run
from runs.models import FlowRun
from runs.models.flow_run import TERMINAL


def seconds_of(run: FlowRun) -> float | None:
    """How long the run has been running, or ran, from its first start; None before it starts."""
    if run.start_time is None:
        return None
    return ((run.end_time or now()) - run.start_time).total_seconds()


class RunList(KeysetChangeList):
    """A page of runs, which knows what those of it that wait are waiting for."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        reasons = first_reasons(self.result_list)
        for run in self.result_list:
            run.waits_for = reasons.get(run.id)


class FlowRunAdmin(ScopedAdmin):
    """Dense, newest first, patched in place by the page's script."""

    change_list_template = "portal/flow_runs.html"
    list_display = ("state", "run_of", "title", "reason", "start", "duration", "tries", "tag_list")
    list_display_links = None
    list_filter = (
        ("state_type", StateFilter),
        ("flow", ScopedRelatedFilter),
        ("deployment", ScopedRelatedFilter),
        WorkspaceFilter,
        ComingFilter,
    )
    list_select_related = ("flow", *NEEDED)
    ordering = ("-created", "-id")
    empty_text = "No runs yet. Open a deployment and press Run."

    def get_urls(self) -> list[Any]:
        """The live run page stands where Django has its form."""
        # The one without a name would redirect any other text to the form.
        stock = [url for url in super().get_urls() if url.name not in {None, "runs_flowrun_change"}]
        return flow_run.urls(self.admin_site) + stock

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[KeysetChangeList]:
        return RunList

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).defer("parameters", "created_by")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Superusers only, and only what has ended: a process may be writing the rest."""
        return bool(request.user.is_superuser) and (obj is None or obj.state_type in TERMINAL)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Names the runs alone: Django would load every task and state to list them."""
        names = [str(each) for each in objs]
        return names, {"flow runs, with their tasks, states and logs": len(names)}, set(), []

    @display(description="state")
    def state(self, run: FlowRun) -> SafeString:
        return format_html(
            '<span data-run="{}" data-version="{}">{}</span>',
            run.pk,
            run.version,
            badge(run.state_type, run.state_name),
        )

    @display(description="flow / deployment")
    def run_of(self, run: FlowRun) -> SafeString:
        if run.deployment is None:
            return format_html("{}", run.flow.name)
        url = reverse("admin:flows_deployment_change", args=[run.deployment.pk])
        return format_html(
            '<span class="quiet">{} /</span> <a href="{}">{}</a>', run.flow.name, url, run.deployment.name
        )

    @display(description="run")
    def title(self, run: FlowRun) -> SafeString:
        url = reverse("admin:runs_flowrun_change", args=[run.pk])
        return format_html('<a class="name" href="{}" title="{}">{}</a>', url, run.name, run.name)

    @display(description="reason or error")
    def reason(self, run: Any) -> SafeString:
        """What it waits for, and how to help when the pointer rests on it; else how it ended."""
        waits_for = run.waits_for
        message = f"{waits_for['text']} {waits_for['fix']}" if waits_for else run.state_message
        head = waits_for["text"] if waits_for else run.state_message
        return format_html('<span class="clip" title="{}">{}</span>', message.strip()[:2000], head_line(head))

    @display(description="start")
    def start(self, run: FlowRun) -> SafeString:
        return when(run.start_time or run.expected_start_time)

    @display(description="duration")
    def duration(self, run: FlowRun) -> str:
        seconds = seconds_of(run)
        return NOTHING if seconds is None else span(seconds)

    @display(description="tries")
    def tries(self, run: FlowRun) -> int:
        return run.run_count

    @display(description="tags")
    def tag_list(self, run: FlowRun) -> SafeString:
        return tags_of(run.tags)
