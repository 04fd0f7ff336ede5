from django.apps import AppConfig


class AgentsConfig(AppConfig):
    """WHO runs it: pools, queues, agents, and the loops that keep them going."""

    name = "agents"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from agents import changes, doorbell
        from runs import announce

        announce.fill_ring(doorbell.ring)
        changes.watch()
