"""The list of backfills. They are made from a deployment's page."""

from typing import Any

from django.contrib.admin import display
from django.contrib.admin.views.main import ChangeList
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from portal.admin.filters import ScopedRelatedFilter
from portal.admin.looks import NOTHING, when
from portal.admin.scoped import ScopedAdmin
from portal.pages import backfill as page
from portal.pages.backfill_grid import progress_bar
from runs.backfills.counts import counts_of
from runs.models import Backfill
from runs.models.backfill import BackfillState

LAMPS = {BackfillState.ACTIVE: "lamp on", BackfillState.PAUSED: "lamp off"}


def state_lamp(backfill: Backfill) -> SafeString:
    """A dot and a word."""
    look = LAMPS.get(BackfillState(backfill.state), "lamp")
    return format_html('<span class="{}">{}</span>', look, backfill.get_state_display().lower())


class BackfillList(ChangeList):
    """Reads how far a whole page of backfills has come in one query."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        counts = counts_of([each.pk for each in self.result_list])
        for each in self.result_list:
            each.counts = counts[each.pk]


class BackfillAdmin(ScopedAdmin):
    """How far each has come."""

    list_display = ("state_shown", "title", "of", "progress", "done", "made_by", "created_when")
    list_display_links = None
    list_filter = ("state", ("deployment", ScopedRelatedFilter))
    list_select_related = ("deployment__flow",)
    ordering = ("-created", "-id")
    empty_text = "No backfills yet. Open a deployment and press Backfill."

    def get_urls(self) -> list[Any]:
        """Our page stands where Django has its form."""
        stock = [url for url in super().get_urls() if url.name not in {None, "runs_backfill_change"}]
        return page.urls(self.admin_site) + stock

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return BackfillList

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @display(description="state")
    def state_shown(self, backfill: Backfill) -> SafeString:
        return state_lamp(backfill)

    @display(description="backfill")
    def title(self, backfill: Backfill) -> SafeString:
        url = reverse("admin:runs_backfill_change", args=[backfill.pk])
        return format_html('<a class="name" href="{}">{}</a>', url, backfill)

    @display(description="flow / deployment")
    def of(self, backfill: Backfill) -> SafeString:
        url = reverse("admin:flows_deployment_change", args=[backfill.deployment_id])
        name = backfill.deployment.name
        return format_html(
            '<span class="quiet">{} /</span> <a href="{}">{}</a>', backfill.deployment.flow.name, url, name
        )

    @display(description="progress")
    def progress(self, backfill: Any) -> SafeString:
        return progress_bar(backfill.total, backfill.counts)

    @display(description="completed")
    def done(self, backfill: Any) -> str:
        return f"{backfill.counts['COMPLETED']:,} of {backfill.total:,}"

    @display(description="by")
    def made_by(self, backfill: Backfill) -> str:
        return str((backfill.created_by or {}).get("display_value") or NOTHING)

    @display(description="made")
    def created_when(self, backfill: Backfill) -> SafeString:
        return when(backfill.created)
