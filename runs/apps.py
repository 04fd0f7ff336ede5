from typing import TYPE_CHECKING

from django.apps import AppConfig
from django.core.checks import register
from django.db.models.signals import post_migrate

if TYPE_CHECKING:
    from runs.slot_bell import SlotBell


class RunsConfig(AppConfig):
    """WHAT happened: runs, their states, logs and artifacts."""

    name = "runs"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from flows.sdk import resting
        from runs import checks, partitions

        resting.fill(_slot_bell)
        register(checks.ports_are_filled, checks.PORTS)
        post_migrate.connect(partitions.make_after_migrating, sender=self)


def _slot_bell() -> "SlotBell":
    from runs.slot_bell import bell

    return bell()
