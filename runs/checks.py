"""System checks: what must hold before a process may start."""

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Error

from runs import announce

PORTS = "ports"  # the tag of the checks that every process needs, with pages or without


def ports_are_filled(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    """An unfilled port would lose every ring or live message in silence."""
    return [
        Error(
            f"runs.announce: nobody filled the port '{name}'.",
            hint="Keep 'agents' and 'portal' in INSTALLED_APPS.",
            id="runs.E001",
        )
        for name in announce.unfilled()
    ]
