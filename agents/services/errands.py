"""Errands that nobody looks after: their flow's process is gone, or a background task's worker."""

from datetime import datetime

from agents.services.database import alone
from runs.errands import remove_orphans
from runs.session import DjangoSession


def tend_errands(now: datetime) -> None:
    """One step of the loop."""
    with alone("errands") as mine:
        if mine:
            with DjangoSession().transaction() as tx:
                remove_orphans(tx)
