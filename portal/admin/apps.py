from importlib import import_module

from django.contrib.admin.apps import AdminConfig


class PortalAdminConfig(AdminConfig):
    """Django's admin with our site in place of the default one."""

    default_site = "portal.admin.site.PortalAdminSite"

    def ready(self) -> None:
        super().ready()
        for name in ("flow_runs",):
            import_module(f"portal.admin.{name}")
