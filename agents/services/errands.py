"""Errands that nobody looks after: their flow's process is gone, or a background task's worker."""

from datetime import datetime
from functools import partial
from uuid import UUID

from agents.registry import online_agents
from agents.services.database import alone
from runs import announce
from runs.background import give_back_expired, remove_old, waiting_queues
from runs.errands import remove_orphans
from runs.session import DjangoSession


def tend_errands(now: datetime) -> None:
    """One step of the loop."""
    with alone("errands") as mine:
        if mine:
            with DjangoSession().transaction() as tx:
                remove_orphans(tx)
                remove_old(tx)
                give_back_expired(tx)
                for queue_id, waiting in waiting_queues(tx).items():
                    tx.on_commit(partial(_ring, queue_id, waiting))


def _ring(queue_id: UUID, waiting: int) -> None:
    """Wake agents for background tasks whose own ring got lost, or came while all were busy."""
    agents = online_agents(queue_id).count()
    for _ in range(min(waiting, agents)):
        announce.ring(queue_id)
