"""Errands in agents: a parent claims one, its horse carries it out, and goes on with others of the same flow.

Such a stay at work is a *stint*. It saves a fork for each errand, and ends after some seconds, so that every
flow gets its turn. The parent renews the leases of what the stint holds, and kills the horse when nobody
waits any more for what it is at. What a dead horse held gets an answer that says so.
"""

import logging
import mmap
import os
import signal
import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from django.conf import settings

from agents import horse
from agents.claim import Claimed, Lease
from agents.registry import Identity
from agents.sessions import QuickSession
from agents.supervision import OUT_OF_MEMORY_HINT, RENEW_SECONDS, Exit, Supervision
from flows.sdk import backend
from flows.sdk.backend import Backend, backed_by
from flows.sdk.batching import persistently
from flows.sdk.errand_counter import MOST_BYTES, too_large
from flows.sdk.errands import carried_out, failed_at
from flows.sdk.execution import leave
from flows.sdk.ids import uuid7
from flows.sdk.portal import Caller, PortalHere
from flows.sdk.recorder import FlowRunInfo
from flows.sdk.sealing import answer_name, call_name
from flows.sdk.signing import Signer
from flows.sdk.task_worker import CannotLoad, Post, perform, posting
from runs import background, errands
from runs.backend import database_backend
from runs.errands import Holder
from runs.recorder import DatabaseRecorder
from runs.session import PsycopgSession, Session

logger = logging.getLogger(__name__)

STINT_SECONDS = 10.0
# How long a horse waits for the next errand of its flow, looking ever less often.
LINGERS = (0.01, 0.02, 0.04, 0.08, 0.15)
BACKGROUND_SECONDS = 2.0  # runs of flows wait meanwhile
ALTERED = "Errand %s of %s was altered, or signed by a key that is not in PORTAL_RESULT_KEYS: not opened."
NOBODY_WAITS = 2  # ticks in which the horse is at an errand that it does not hold


class Now:
    """What a stint is at, as its horse tells its parent: 16 bytes of memory that both see."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 16)

    def set(self, errand: UUID | None) -> None:
        self._memory[:] = errand.bytes if errand else bytes(16)

    def get(self) -> UUID | None:
        read = bytes(self._memory[:])
        return UUID(bytes=read) if any(read) else None


@dataclass(frozen=True, slots=True)
class Stint:
    """One horse's work: errands of the attempt that `first` belongs to, or background tasks."""

    holder: Holder
    first: errands.Claimed
    now: Now


def claim_stint(session: Session, agent: Identity, *, of_flows: bool) -> Stint | None:
    """Take the oldest errand that a flow's process waits for; or else, a background task.

    Raises psycopg.Error.
    """
    holder = Holder(uuid7(), agent.id, f"{agent.name} on {agent.hostname}")
    first = errands.claim(session, holder, agent.queue_ids, of_flows=of_flows)
    return None if first is None else Stint(holder, first, Now())


def release_claims(session: Session, agent_id: UUID) -> None:
    """Give back what this agent claimed but never learnt of. Raises psycopg.Error."""
    with session.transaction() as tx:
        errands.release(tx, agent_id)


# The parent


def start(stint: Stint, conninfo: dict[str, Any], session: PsycopgSession) -> "StintSupervision":
    """Fork the horse of a stint. Raises OSError when the system has no room."""
    pid = horse.fork_for(lambda: work(stint, conninfo), session)
    try:
        return StintSupervision(session, stint, pid)
    except OSError:  # no room for its guard: better no process than one that nobody watches
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise


class StintSupervision(Supervision):
    """The horse of a stint, watched as that of a run is."""

    def __init__(self, session: Session, stint: Stint, pid: int) -> None:
        first = stint.first
        run = FlowRunInfo(
            first.flow_run_id or first.id, f"errand {first.name}", "", {}, attempt=first.attempt
        )
        super().__init__(session, Claimed(run, first.workspace_id, 0, "", ""), pid, grace_seconds=0.0)
        self._stint = stint
        self._lost: tuple[UUID | None, int] = None, 0

    def _lease(self, now: float) -> Lease:
        """LOST once nobody waits for what the horse is at: its flow ended, or took it back."""
        current = self._stint.now.get()
        if now < self._renew_at and self._lost[1] == 0 and current is None:
            return Lease.HELD
        with self._session.transaction() as tx:
            held = errands.renew(tx, self._stint.holder.id)
        self._renew_at = now + RENEW_SECONDS
        if not all(held.values()):
            return Lease.LOST
        # An answered errand is not held either, until the horse has noted the next: it gets another tick.
        is_held = current is None or current in held
        self._lost = (current, 0 if is_held else 1 + (self._lost[1] if current == self._lost[0] else 0))
        return Lease.LOST if self._lost[1] >= NOBODY_WAITS else Lease.HELD

    def _ask_to_end(self) -> None:
        """Nothing can be asked of it: it would report that it was ended, and its task would fail."""
        self._kill("its agent is stopping")

    def settle(self, ended: Exit) -> None:
        if self._goes_back():
            agent_id = self._stint.holder.agent_id
            assert agent_id is not None  # no agent has claimed it otherwise
            release_claims(self._session, agent_id)
            logger.info("Errand %s: handed back", self._stint.first.name)
            return
        why = f"The process of the task run died: {self._killed_because or ended.text()}."
        if ended.was_killed() and not self._killed_because:
            why += f" {OUT_OF_MEMORY_HINT}"
        lose = background.lose if self._stint.first.flow_run_id is None else errands.lose
        with self._session.transaction() as tx:
            lost = lose(tx, self._stint.holder.id, why)
        if lost:
            logger.info("Errand %s: %s", self._stint.first.name, why)


# The horse


class HelperRecorder(DatabaseRecorder):
    """What an errand's code reports and asks, on behalf of the attempt that sent it."""

    def __init__(self, conninfo: dict[str, Any], stint: Stint) -> None:
        first = stint.first
        assert first.flow_run_id is not None
        session = PsycopgSession(conninfo, application_name=f"portal errand {first.name}"[:63])
        super().__init__(session, first.flow_run_id, first.attempt, on_abort=leave)
        asking = FlowRunInfo(first.flow_run_id, first.name, "", {}, attempt=first.attempt)
        asked = PsycopgSession(conninfo, application_name=f"portal ask {first.name}"[:63])
        self._backend = backend_of(first, asking, asked)

    def ask(self, method: str, *arguments: Any) -> Any:
        """As `flows.sdk.errands.Line`."""
        port, _, name = method.rpartition(".")
        return getattr(getattr(self._backend, port) if port else self, name)(*arguments)


def work(stint: Stint, conninfo: dict[str, Any]) -> None:
    """Carry out the first errand, then others like it."""
    first = stint.first
    asking = FlowRunInfo(first.flow_run_id or first.id, first.name, "", {}, attempt=first.attempt)
    title = f"portal ask {first.name}"[:63]
    backend.use(lambda: backend_of(first, asking, PsycopgSession(conninfo, application_name=title)))
    if first.flow_run_id is None:
        run_background_tasks(stint, conninfo)
    else:
        carry_out_errands(stint, conninfo)


def backend_of(claimed: errands.Claimed, asking: FlowRunInfo, session: PsycopgSession) -> Backend:
    """What the code of an errand asks."""
    api = PortalHere(Caller(claimed.workspace_id, claimed.name))
    return database_backend(session, claimed.workspace_id, asking, settings.PORTAL_URL, api)


def run_background_tasks(stint: Stint, conninfo: dict[str, Any]) -> None:
    """Run the first one, then others of its queue for a while."""
    post = posting(stint.holder.id)
    signer = Signer(settings.PORTAL_RESULT_KEYS, str(stint.first.workspace_id))
    session = PsycopgSession(conninfo, application_name=f"portal task {stint.first.name}"[:63])
    ends_at = time.monotonic() + BACKGROUND_SECONDS
    task: errands.Claimed | None = stint.first
    while task is not None:
        stint.now.set(task.id)
        asking = FlowRunInfo(task.id, task.name, "", {})
        with backed_by(backend_of(task, asking, session)):
            _run_background_task(task, signer, post)
        stint.now.set(None)
        if time.monotonic() > ends_at:
            return
        task = errands.claim(session, stint.holder, [task.work_queue_id], of_flows=False)


def _run_background_task(task: errands.Claimed, signer: Signer, post: Post) -> None:
    content = signer.verified(call_name(task.id), task.payload)
    if content is None:
        logger.warning(ALTERED, task.id, task.name)
        post(f"{task.id}/refuse", {"reason": "it was altered in the database", "is_final": True})
        return
    try:
        perform(post, signer, task.id, content)
    except CannotLoad as error:
        post(f"{task.id}/refuse", {"reason": str(error), "is_final": False})


def carry_out_errands(stint: Stint, conninfo: dict[str, Any]) -> None:
    """Carry out the first errand, then others of the same attempt."""
    horse.keep_run_logs_to_the_run()
    first = stint.first
    session = QuickSession(conninfo, application_name=f"portal errands {first.name}"[:63])
    recorder = HelperRecorder(conninfo, stint)
    signer = Signer(settings.PORTAL_RESULT_KEYS, str(first.workspace_id))
    ends_at = time.monotonic() + STINT_SECONDS
    errand: errands.Claimed | None = first
    while errand is not None:
        stint.now.set(errand.id)
        answer, lost = _answered(errand, signer, recorder)
        errand = _next(session, stint, errand, answer, lost, may_go_on=time.monotonic() < ends_at)
    stint.now.set(None)
    recorder.close()


def _answered(errand: errands.Claimed, signer: Signer, recorder: HelperRecorder) -> tuple[bytes | None, str]:
    """The signed answer, or why there is none. Its logs are durable before."""
    packed = signer.verified(call_name(errand.id), errand.payload)
    if packed is None:
        logger.warning(ALTERED, errand.id, errand.name)
        return None, "Its call was altered on the way, or signed by a key that the agent does not have."
    answer = carried_out(packed, recorder)
    if len(answer) > MOST_BYTES:
        answer = failed_at(too_large("The result of the task is", answer))
    recorder.flush()
    return signer.sign(answer_name(errand.id), answer), ""


def _next(
    session: QuickSession,
    stint: Stint,
    done: errands.Claimed,
    answer: bytes | None,
    lost: str,
    may_go_on: bool,
) -> errands.Claimed | None:
    """Answer, and claim the next, waiting a moment for one."""

    is_repeated = False

    def answer_it() -> errands.Claimed | None:
        nonlocal is_repeated
        if is_repeated:  # what was claimed before the reply got lost
            errands.give_back(session, stint.holder.id, but=done.id)
        is_repeated = True
        if may_go_on:
            return errands.answer_and_claim_next(session, stint.holder, done, answer, lost)
        errands.answer(session, stint.holder, done, answer, lost)
        return None

    following = persistently(answer_it, psycopg.OperationalError, "PostgreSQL")
    for seconds in LINGERS if may_go_on else ():
        if following is not None:
            break
        stint.now.set(None)
        time.sleep(seconds)
        following = _waited_for(session, stint, done)
    return following


def _waited_for(session: QuickSession, stint: Stint, done: errands.Claimed) -> errands.Claimed | None:
    try:
        return errands.claim_next(session, stint.holder, done)
    except psycopg.OperationalError:  # whether it was claimed is unknown
        persistently(
            lambda: errands.give_back(session, stint.holder.id, but=done.id),
            psycopg.OperationalError,
            "PostgreSQL",
        )
        return None
