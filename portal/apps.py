from typing import TYPE_CHECKING

from django.apps import AppConfig

if TYPE_CHECKING:
    from flows.sdk.portal import Caller, Portal


class PortalConfig(AppConfig):
    """THE CONTROL ROOM: admin, API, live views and operations."""

    name = "portal"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from flows.sdk import portal
        from portal.live import access, publisher
        from runs import announce

        announce.fill_publish(publisher.publish)
        portal.fill(_portal_here)
        access.watch()


def _portal_here(caller: "Caller | None") -> "Portal":
    from portal.in_process import portal_of

    return portal_of(caller)
