"""Our admin site: the shell around every page, and the dashboard."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from django.apps import AppConfig
from django.contrib.admin import AdminSite
from django.contrib.auth import get_user_model
from django.core.checks import CheckMessage
from django.db.models import Model
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, reverse

from portal.admin.looks import NOTHING

NAVIGATION = (
    ("Dashboard", "admin:index"),
    ("Runs", "admin:runs_flowrun_changelist"),
    ("Backfills", "admin:runs_backfill_changelist"),
    ("Tasks", "admin:runs_backgroundtask_changelist"),
    ("Deployments", "admin:flows_deployment_changelist"),
    ("Flows", "admin:flows_flow_changelist"),
    ("Pools", "admin:agents_workpool_changelist"),
    ("Agents", "admin:agents_agent_changelist"),
    ("Limits", "admin:runs_concurrencylimit_changelist"),
)
CONFIGURATION = (
    ("Variables", "admin:flows_variable_changelist"),
    ("Blocks", "admin:flows_block_changelist"),
    ("Calendars", "admin:flows_calendar_changelist"),
    ("Retention", "admin:runs_retentionpolicy_changelist"),
)


class PortalAdminSite(AdminSite):
    """The control room."""

    site_header = site_title = "Portal"
    index_title = "Dashboard"
    index_template = "portal/dashboard.html"
    site_url = None
    enable_nav_sidebar = False
    empty_value_display = NOTHING

    def __init__(self, name: str = "admin") -> None:
        super().__init__(name)
        self._not_yet: list[Callable[[], None]] = []
        # Its page would load all that goes with the rows; one thing at a time is deleted.
        self.disable_action("delete_selected")

    def register_when_needed(self, register: Callable[[], None]) -> None:
        """Have `register` called before the first route or check of this site is made, or a page taken out.

        It is called again as long as it fails: otherwise only the first to ask would hear of it, and all
        others would find a part of the pages.
        """
        self._not_yet.append(register)

    def _register(self) -> None:
        waiting, self._not_yet = self._not_yet, []
        try:
            for register in waiting:
                register()
        except BaseException:
            self._not_yet = waiting
            raise

    def unregister(self, model_or_iterable: type[Model] | Iterable[type[Model]]) -> None:
        self._register()  # a project may put pages of its own in place of ours
        super().unregister(model_or_iterable)

    def get_urls(self) -> list[URLResolver | URLPattern]:
        self._register()
        return super().get_urls()

    def check(self, app_configs: Sequence[AppConfig] | None) -> list[CheckMessage]:
        self._register()
        return super().check(app_configs)

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        return {
            **super().each_context(request),
            "navigation": _entries(NAVIGATION, request.path),
            "configuration": _entries(CONFIGURATION, request.path),
            "users_url": self._users_url(),
        }

    def _users_url(self) -> str:
        """The list of users; empty in a project that shows its own users elsewhere."""
        users = get_user_model()
        names = f"{users._meta.app_label}_{users._meta.model_name}"
        return reverse(f"admin:{names}_changelist") if self.is_registered(users) else ""

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        from portal.pages.dashboard import dashboard  # models are not loaded yet when this module is

        return super().index(request, {**dashboard(request), **(extra_context or {})})


def _entries(pages: tuple[tuple[str, str], ...], path: str) -> list[dict[str, Any]]:
    """Links to these pages; the one that `path` belongs to is the current one."""
    home = reverse("admin:index")
    entries = [(label, reverse(name)) for label, name in pages]
    return [
        {"label": label, "url": url, "current": path == url if url == home else path.startswith(url)}
        for label, url in entries
    ]
