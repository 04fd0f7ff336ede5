"""Flows: known from deployments, hence never added here."""

from typing import Any

from django.contrib.admin import display
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from flows.models import Flow
from portal.admin.looks import NOTHING, when
from portal.admin.scoped import ScopedAdmin


class FlowAdmin(ScopedAdmin):
    """Names, their deployments, and the way to their runs."""

    list_display = ("name", "deployed_as", "runs", "tags", "updated_when")
    search_fields = ("name",)
    ordering = ("name",)
    empty_text = "No flows yet: they appear with their first deployment."
    fields = ("workspace", "name", "tags", "deployed_as", "runs", "created", "updated")
    readonly_fields = ("workspace", "name", "deployed_as", "runs", "created", "updated")
    deletable = True

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("workspace").prefetch_related("deployments")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A flow with runs stays: its history would go with it."""
        has_history = obj is not None and obj.flow_runs.exists()
        return super().has_delete_permission(request, obj) and not has_history

    @display(description="deployments")
    def deployed_as(self, flow: Flow) -> SafeString | str:
        links = [
            (reverse("admin:flows_deployment_change", args=[each.pk]), each.name)
            for each in flow.deployments.all()
        ]
        return format_html_join(", ", '<a href="{}">{}</a>', links) or NOTHING

    @display(description="runs")
    def runs(self, flow: Flow) -> SafeString:
        url = reverse("admin:runs_flowrun_changelist")
        return format_html('<a href="{}?flow__id__exact={}">runs of it</a>', url, flow.pk)

    @display(description="updated")
    def updated_when(self, flow: Flow) -> SafeString:
        return when(flow.updated)
