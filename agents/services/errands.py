"""Errands that nobody looks after: their flow's process is gone, or a background task's worker."""

from datetime import datetime
from functools import partial
from uuid import UUID

from agents.registry import online_agents
from agents.services.database import alone
from agents.services.steadiness import Steadiness
from runs import announce
from runs.background import give_back_expired, waiting_queues
from runs.errands import remove_orphans
from runs.session import DjangoSession, Transaction


class ErrandKeeper:
    """Removes errands of flows that are gone, and sees that background tasks find somebody to run them."""

    def __init__(self) -> None:
        self._steadiness = Steadiness()

    def step(self, now: datetime) -> None:
        is_steady = self._steadiness.tick(now)
        with alone("errands") as mine:
            if mine:
                with DjangoSession().transaction() as tx:
                    self._tend(tx, is_steady)

    def _tend(self, tx: Transaction, is_steady: bool) -> None:
        remove_orphans(tx)
        if is_steady:
            give_back_expired(tx)
        for queue_id, waiting in waiting_queues(tx).items():
            tx.on_commit(partial(_ring, queue_id, waiting))


def _ring(queue_id: UUID, waiting: int) -> None:
    """Wake agents for background tasks whose own ring got lost, or came while all were busy."""
    agents = online_agents(queue_id).count()
    for _ in range(min(waiting, agents)):
        announce.ring(queue_id)
