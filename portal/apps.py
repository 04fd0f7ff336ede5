from django.apps import AppConfig


class PortalConfig(AppConfig):
    """THE CONTROL ROOM: admin, API, live views and operations."""

    name = "portal"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from portal.live import publisher
        from runs import announce

        announce.fill_publish(publisher.publish)
