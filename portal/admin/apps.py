from django.contrib.admin import autodiscover, site
from django.contrib.admin.apps import SimpleAdminConfig


class PortalAdminConfig(SimpleAdminConfig):
    """Django's admin with our site in place of the default one.

    Its pages are loaded when they are asked for: agents and the scheduler, which have none, start without.
    """

    default_site = "portal.admin.site.PortalAdminSite"

    def ready(self) -> None:
        super().ready()
        from portal.admin.site import PortalAdminSite

        assert isinstance(site, PortalAdminSite)
        site.register_when_needed(_register)


def _register() -> None:
    from portal.admin.register import register_all

    autodiscover()
    register_all()
