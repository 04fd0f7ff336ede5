"""Flow runs in the admin: a list, and the live run page in place of a form."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpRequest

from portal.pages import flow_run
from runs.models import FlowRun


if TYPE_CHECKING:
    Base = admin.ModelAdmin[FlowRun]
else:
    Base = admin.ModelAdmin


@admin.register(FlowRun)
class FlowRunAdmin(Base):
    """Runs are facts: nobody adds or edits them here."""

    def get_urls(self) -> list[Any]:
        stock = [url for url in super().get_urls() if url.name != "runs_flowrun_change"]
        return flow_run.urls(self.admin_site) + stock

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False
