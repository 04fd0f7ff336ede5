"""The agent's parent: an RQ worker that answers rings by claiming runs.

Redis only wakes it. Whatever happens to Redis, it tries to claim at least every few seconds; whatever
happens to PostgreSQL, it waits and tries again. It executes one run at a time, in a forked horse.
"""

import logging
import os
import signal
import time
from collections.abc import Callable, Sequence
from functools import partial
from types import FrameType
from typing import Any
from uuid import UUID

import psycopg
from django.conf import settings
from rq.exceptions import StopRequested
from rq.utils import now
from rq.worker import WorkerStatus

from agents import errands, horse, isolated_process, registry
from agents.claim import Claimed, claim, release, turn_taken
from agents.guard import Guard
from agents.hints import Hints
from agents.isolated_process import IsolatedSupervision
from agents.isolation import IsolationError
from agents.offspring import adopt_orphans
from agents.recycling import Recycling, allow_signals, hold_signals
from agents.ring_listener import RingListener
from agents.spare import Spare
from agents.standby import Standby
from agents.supervision import HANDED_BACK, Order, Supervision
from flows.sdk.states import Crashed, Failed
from runs import announce
from runs.acting import acting_as
from runs.hand_back import hand_back
from runs.pooler import explained
from runs.session import PsycopgSession
from runs.transition import transition

logger = logging.getLogger(__name__)

BEAT_SECONDS = 4.0
BREATH_SECONDS = 1.0  # when the system has no room for a process
LONGEST_DATABASE_WAIT = 5.0
# How long a PostgreSQL that hangs may keep a tick waiting, in which a run is cancelled or handed back.
DATABASE_PATIENCE_SECONDS = 3.0


class AgentWorker(RingListener):
    """Serves work queues. `serve` is the loop, `take_one` and `listen` its two steps."""

    def __init__(
        self,
        queue_names: Sequence[str],
        identity: registry.Identity,
        conninfo: dict[str, Any],
        drain_seconds: float,
        recycling: Recycling,
    ) -> None:
        """`queue_names` are ring lists; `conninfo` are psycopg parameters of the database.

        An agent that is asked to stop waits `drain_seconds` for the end of its run, then hands it back.
        """
        self._recycling = recycling
        self._runs = 0
        self._claim_in_doubt = True
        self._served: list[UUID] = []  # workspaces, the last one at the end
        self._database_wait = 0.0
        self._beat_at = 0.0
        self._identity = identity
        self._conninfo = {**conninfo, "connect_timeout": 3, "tcp_user_timeout": 5000}
        name = f"portal agent {identity.name}"[:63]
        self._session = PsycopgSession(self._conninfo, name, DATABASE_PATIENCE_SECONDS)
        self._hints = Hints()
        self._spare = Spare(self._conninfo)
        self._standby = Standby(self._conninfo, self._session, self._spare)
        super().__init__(queue_names, identity.name, drain_seconds)

    # The loop

    def serve(self, burst: bool = False) -> bool:
        """Serve the queues until a signal comes; with `burst`, until there is nothing to do.

        Returns whether it wants to be started again. Signals are then held: one that comes now counts.
        """
        signal.signal(signal.SIGINT, self.request_stop)
        signal.signal(signal.SIGTERM, self.request_stop)
        allow_signals()
        self.birth_date = now()
        self._state = WorkerStatus.IDLE
        self.beat()
        self._forget_dead_workers()
        adopt_orphans()
        logger.info("Agent %s serves %s", self.name, ", ".join(self.queue_names()))
        because = ""
        try:
            with acting_as(lambda: self._identity.as_actor()):
                because = self._loop(burst)
        except StopRequested:
            pass
        finally:
            self._leave()
        hold_signals()
        return bool(because) and not self._stop_requested

    def _loop(self, burst: bool) -> str:
        """Why the agent has to start again, if that is why the loop ended."""
        while not self._stop_requested:
            self.beat()
            if not self._step(blocking=not burst) and burst:
                break
            if because := self._recycling.reason(self._runs):
                logger.info("Agent %s starts again: %s", self.name, because)
                return because
        return ""

    def _step(self, blocking: bool) -> bool:
        """Do one thing, if there is one to do; False if there was none."""
        try:
            found = self.take_one()
        except psycopg.Error as error:
            self._claim_in_doubt = True
            self._standby.dismiss()
            self._spare.close()
            self._wait_for_database(error)
            return True
        self._database_wait = 0.0
        if found:
            return True
        if blocking:
            self._standby.prepare()
        return self.listen(blocking)

    def take_one(self) -> bool:
        """Claim the best due run and see it to its end; False if there was none to claim.

        Raises psycopg.Error. Whether something was claimed, and whether the agent has a row, is then
        unknown, as it is at the start: the next call first makes sure of both.
        """
        if self._claim_in_doubt:
            registry.beat(self._session, self._identity)
            release(self._session, self._identity.id)
            errands.release_claims(self._session, self._identity.id)
            self._claim_in_doubt = False
        if self._take_errands(of_flows=True):
            return True
        claimed = claim(self._session, self._identity.id, self._identity.queue_ids, self._served)
        if claimed is None:
            return self._take_errands(of_flows=False)
        self._served = turn_taken(self._served, claimed.workspace_id)
        self._execute(claimed)
        return True

    # One run

    def _execute(self, claimed: Claimed) -> None:
        run = claimed.run
        if self._stop_requested:  # while it was claiming
            hand_back(self._session, run.id, run.attempt, HANDED_BACK)
            return
        logger.info("Run %s of %s: attempt %d", run.name, run.flow_name, run.attempt)
        try:
            supervision = self._start(claimed)
        except IsolationError as error:
            transition(self._session, run.id, Failed(message=str(error)), attempt=run.attempt)
            return
        except OSError as error:
            crashed = Crashed(message=f"The agent could not start a process: {error}.")
            transition(self._session, run.id, crashed, attempt=run.attempt)
            return
        self._state = WorkerStatus.BUSY
        announce.publish(
            announce.RunChanged(run.id, claimed.workspace_id, claimed.version, "PENDING", "Pending")
        )
        supervision.run(self.beat, self._order, self._hints)
        self._runs += 1
        self._state = WorkerStatus.IDLE

    def _take_errands(self, *, of_flows: bool) -> bool:
        """Help a running flow, or run background tasks; False if there is nothing of the kind to do."""
        stint = errands.claim_stint(self._session, self._identity, of_flows=of_flows)
        if stint is None:
            return False
        if self._stop_requested:  # while it was claiming
            errands.release_claims(self._session, self._identity.id)
            return True
        logger.info("%s, beginning with %s", "Errands" if of_flows else "Background tasks", stint.first.name)
        try:
            supervision = errands.start(stint, self._conninfo, self._session)
        except OSError as error:
            logger.warning("Could not start a process for %s: %s", stint.first.name, error)
            errands.release_claims(self._session, self._identity.id)
            self._sleep(BREATH_SECONDS)
            return True
        self._state = WorkerStatus.BUSY
        supervision.run(self.beat, self._order, self._hints)
        self._runs += 1
        self._state = WorkerStatus.IDLE
        return True

    def _start(self, claimed: Claimed) -> Supervision:
        grace = settings.PORTAL_CANCEL_GRACE_SECONDS
        if claimed.is_isolated:
            process = isolated_process.start(self._session, claimed)
            watch = partial(IsolatedSupervision, self._session, claimed, process, grace)
            return self._watched(process.pid, watch)
        pid, guard = self._horse_for(claimed)
        take_back = self._spare.take_back
        try:
            return self._watched(
                pid, partial(Supervision, self._session, claimed, pid, grace, guard, take_back)
            )
        except OSError:
            if guard is not None:
                guard.close()
            take_back()  # it had begun to use the connection
            raise

    def _horse_for(self, claimed: Claimed) -> tuple[int, Guard | None]:
        """The horse that stands by for this run, or a new one."""
        if ready := self._standby.start(claimed):
            return ready.pid, ready.guard
        self._spare.open()
        return horse.fork(claimed, self._conninfo, self._session, self._spare), None

    def _watched(self, pid: int, watch: Callable[[], Supervision]) -> Supervision:
        try:
            return watch()
        except OSError:  # no room for its guard: better no process than one that nobody watches
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise

    # Signs of life

    def beat(self) -> None:
        """Be seen: in PostgreSQL, where it counts, and in Redis, for RQ's own tools. Never raises."""
        moment = time.monotonic()
        if moment >= self._beat_at:
            self._beat_at = moment + BEAT_SECONDS
            try:
                registry.beat(self._session, self._identity, draining=self._stop_requested)
            except psycopg.Error as error:
                logger.debug("Could not beat in PostgreSQL: %s", error)
        super().beat()

    def _leave(self) -> None:
        try:
            registry.sign_off(self._session, self._identity)
        except psycopg.Error as error:
            logger.debug("Could not sign off: %s", error)
        self._unregister()
        self._session.close()
        self._standby.dismiss()
        self._spare.close()
        logger.info("Agent %s stopped", self.name)

    # Stopping, and waiting for the database

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """As RingListener does, and beat at the next tick: it shows at once that this one takes no other."""
        self._beat_at = 0.0
        super().request_stop(signum, frame)

    def _order(self) -> Order:
        if self._force_stop:
            return Order.STOP
        drained = time.monotonic() - self._stop_asked_at >= self._drain_seconds
        return Order.HAND_BACK if self._stop_requested and drained else Order.CARRY_ON

    def _wait_for_database(self, error: psycopg.Error) -> None:
        self._database_wait = min(self._database_wait * 2 or 0.25, LONGEST_DATABASE_WAIT)
        away = isinstance(error, psycopg.OperationalError)
        trouble = "does not answer" if away else "refuses to answer"
        why = explained(error)
        logger.warning("PostgreSQL %s, trying again in %.1f s: %s", trouble, self._database_wait, why)
        self._sleep(self._database_wait)
