"""The horse: the forked process that executes one flow run, from its first line to its last.

The parent hands it (run, attempt) in memory. It opens a database connection of its own and always
leaves by `os._exit`: 0 after it has reported, 1 if it could not (the parent then says why).
"""

import logging
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connections

from agents.claim import Claimed, order_of
from agents.errand_counter import DatabaseErrands
from agents.guard import bear_mark, die_with_parent, go_first
from agents.spare import Spare
from flows.sdk import backend, execution
from flows.sdk.backend import Backend
from flows.sdk.execution import Stamps, leave, live
from flows.sdk.portal import Caller, PortalHere
from flows.sdk.recorder import Verdict
from flows.sdk.states import State
from runs.backend import database_backend
from runs.recorder import DatabaseRecorder
from runs.session import PsycopgSession


def fork(claimed: Claimed, conninfo: dict[str, Any], session: PsycopgSession, spare: Spare) -> int:
    """Start the horse of a claimed run; see `fork_for`. It borrows the `spare` session, if there is one."""
    spare.lend()
    return fork_for(lambda: execute(claimed, conninfo, spare), session)


def fork_for(work: Callable[[], None], session: PsycopgSession) -> int:
    """Start a horse that does `work`, and return its pid, which is also its process group.

    `session` is the parent's: the child forgets it. Raises OSError when the system has no room.
    """
    connections.close_all()  # a child must not share a connection of Django's
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        live(lambda: _begin(work, session, parent))
    os.setpgid(pid, pid)  # both sides do it: whoever comes first, the group is there for the guard
    return pid


def _begin(work: Callable[[], None], session: PsycopgSession, parent: int) -> None:
    os.setpgid(0, 0)
    die_with_parent(parent)
    bear_mark()
    go_first()
    session.forget()
    work()


class HorseRecorder(DatabaseRecorder):
    """Reports how the run came to be, and what it has used, too."""

    def __init__(self, claimed: Claimed, stamps: Stamps, spare: Spare) -> None:
        run = claimed.run
        session = spare.session_for(f"portal run {run.name}"[:63])
        super().__init__(
            session,
            run.id,
            run.attempt,
            on_abort=leave,
            result_scope=run.result_scope,
            workspace_id=claimed.workspace_id,
            let_go=lambda: spare.leave(session),
        )
        self._stamps = stamps

    def transition(self, run_id: UUID, state: State) -> Verdict:
        return super().transition(run_id, self._stamps.on(state) if run_id == self.run_id else state)


def keep_run_logs_to_the_run() -> None:
    """Writing each line to the agent's own output, too, would take more time than all the rest of logging."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(_is_of_no_run)


def _is_of_no_run(record: logging.LogRecord) -> bool:
    return not hasattr(record, "flow_run_id")


def execute(claimed: Claimed, conninfo: dict[str, Any], spare: Spare) -> None:
    """Load the flow, run it, and report through a recorder of this attempt."""
    keep_run_logs_to_the_run()
    stamps = Stamps()
    recorder = HorseRecorder(claimed, stamps, spare)
    backend.use(lambda: _backend(claimed, conninfo))
    execution.execute(order_of(claimed, recorder.transact), recorder, stamps)


def _backend(claimed: Claimed, conninfo: dict[str, Any]) -> Backend:
    """Its connection is opened when the flow first asks for something."""
    session = PsycopgSession(conninfo, application_name=f"portal ask {claimed.run.name}"[:63])
    api = PortalHere(Caller(claimed.workspace_id, claimed.run.name))
    made = database_backend(session, claimed.workspace_id, claimed.run, settings.PORTAL_URL, api)
    return replace(made, errands=DatabaseErrands(conninfo, claimed.workspace_id, claimed.run))
