"""The counter of a forked process: it reaches the errands on a connection to PostgreSQL of its own, and hears
by NOTIFY of answers."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from django.conf import settings
from django.db import connections

from agents.registry import queue_for_errands
from agents.sessions import ListeningSession
from flows.models import Workspace
from flows.sdk.errand_counter import Answered, NewErrand, Rings, Seen, unheld
from flows.sdk.errand_desk import ErrandDesk
from flows.sdk.recorder import FlowRunInfo
from flows.sdk.sealing import Seal
from flows.sdk.signing import Signer
from runs import announce, errands
from runs.errands import Attempt


@dataclass(frozen=True, slots=True)
class DatabaseErrands:
    """The agents of this database, as the process of one flow run reaches them."""

    conninfo: dict[str, Any]
    workspace_id: UUID
    run: FlowRunInfo

    def desk(self, queue: str, local_after: float | None) -> ErrandDesk:
        """As `flows.sdk.agents_runner.Errands`."""
        return ErrandDesk(DatabaseCounter(self), queue, local_after)


class DatabaseCounter:
    """As `flows.sdk.errand_counter.Counter`."""

    server = "PostgreSQL"
    away: type[Exception] = psycopg.OperationalError
    seal: Seal

    def __init__(self, agents: DatabaseErrands) -> None:
        run = agents.run
        self.seal = Signer(settings.PORTAL_RESULT_KEYS, str(agents.workspace_id))
        self._attempt = Attempt(agents.workspace_id, run.id, run.attempt)
        self._queue_id: UUID
        self._rings = Rings()
        self._session = ListeningSession(
            agents.conninfo, f"portal errands {run.name}"[:63], errands.channel(run.id)
        )

    def open(self, queue: str) -> None:
        workspace = Workspace.objects.get(id=self._attempt.workspace_id).name
        self._queue_id = queue_for_errands(queue, workspace).id

    def exchange(
        self, new: Sequence[NewErrand], done: Sequence[UUID], waiting: Collection[UUID]
    ) -> list[Answered]:
        heard = [UUID(id) for id in self._session.heard()]
        answered = [id for id in heard if id in waiting]
        if not (new or done or answered):
            return []
        found = errands.exchange(self._session, self._attempt, self._queue_id, new, done, answered)
        self._ring(len(new))
        for id in {*answered} - {each.id for each in found} if found else ():  # too large for one go
            self._session.hear(str(id))
        return found

    def look(self, ids: Sequence[UUID]) -> dict[UUID, Seen]:
        seen = errands.look(self._session, self._attempt, ids)
        for id, each in seen.items():
            if each.is_over:  # its notification may be lost
                self._session.hear(str(id))
        self._ring(unheld(seen.values()))
        return seen

    def _ring(self, wanted: int) -> None:
        if wanted:
            for _ in range(self._rings.due(wanted, self._agents)):
                announce.ring(self._queue_id)

    def _agents(self) -> int:
        return errands.agents_serving(self._session, self._queue_id)

    def take_back(self, id: UUID) -> bool:
        return errands.take_back(self._session, self._attempt, id)

    def remove(self, ids: Sequence[UUID]) -> None:
        errands.remove(self._session, self._attempt, ids)

    def wait(self, seconds: float) -> None:
        self._session.wait(seconds)

    def wake(self) -> None:
        self._session.wake()

    def reset(self) -> None:
        """Errands that were answered meanwhile are found by the next look."""
        self._session.close()

    def close(self) -> None:
        self._session.close()
        connections.close_all()
