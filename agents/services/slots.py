"""Slots whose holders have gone: when their leases run out, whoever is next in line is woken."""

from datetime import datetime

from agents.services.database import alone
from runs.limits import forget_expired
from runs.session import DjangoSession


def clear_slots(now: datetime) -> datetime | None:
    """Take one step; return when the next lease runs out."""
    with alone("slots") as mine:
        return forget_expired(DjangoSession()) if mine else None
