"""Applies collision strategies to runs that became due by the clock."""

from datetime import datetime

from agents.services.database import alone
from runs.collisions import colliding, settle
from runs.session import DjangoSession


def settle_collisions(now: datetime) -> None:
    """One step of the loop; a transaction for each deployment."""
    with alone("collisions") as mine:
        found = colliding(DjangoSession()) if mine else []
    for deployment_id in found:
        settle(DjangoSession(), deployment_id)
