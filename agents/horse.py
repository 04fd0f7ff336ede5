"""The horse: the forked process that executes one flow run, from its first line to its last.

The parent hands it (run, attempt) in memory. It opens a database connection of its own and always
leaves by `os._exit`: 0 after it has reported, 1 if it could not (the parent then says why).
"""

import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from types import FrameType
from typing import Any, NoReturn
from uuid import UUID

from django.conf import settings
from django.db import connections

from agents import usage
from agents.claim import Claimed
from agents.errand_desk import DatabaseErrands
from agents.guard import MARK, die_with_parent, mark_of
from flows.sdk import backend
from flows.sdk.backend import Backend
from flows.sdk.engine import RunReleased, TerminationSignal, run_flow
from flows.sdk.entrypoints import EntrypointError, load_flow
from flows.sdk.portal import Caller, PortalHere
from flows.sdk.recorder import Aborted, LogLine, Verdict
from flows.sdk.signals import HandedBack
from flows.sdk.states import Cancelled, Failed, State
from runs.backend import database_backend
from runs.recorder import DatabaseRecorder
from runs.retrying import reusable_calls
from runs.session import PsycopgSession
from runs.transition import keeps_lease

HAND_BACK = signal.SIGUSR2  # from the parent: end without an end of the run, another agent takes it


def fork(claimed: Claimed, conninfo: dict[str, Any], session: PsycopgSession) -> int:
    """Start the horse of a claimed run; see `fork_for`."""
    return fork_for(lambda: execute(claimed, conninfo), session)


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
        _live(work, session, parent)
    os.setpgid(pid, pid)  # both sides do it: whoever comes first, the group is there for the guard
    return pid


def _live(work: Callable[[], None], session: PsycopgSession, parent: int) -> NoReturn:
    code = 1
    try:
        os.setpgid(0, 0)
        die_with_parent(parent)
        session.forget()
        os.environ[MARK] = mark_of(os.getpid())
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, _terminate)
        signal.signal(HAND_BACK, _terminate)
        work()
        code = 0
    except Aborted:
        code = 0  # somebody else decided about this run: nothing to report
    except BaseException:
        traceback.print_exc()
    finally:
        leave(code)


def _terminate(signum: int, frame: FrameType | None) -> None:
    for number in (signal.SIGTERM, HAND_BACK):  # once: hooks and the last report run undisturbed
        signal.signal(number, signal.SIG_IGN)
    raise HandedBack if signum == HAND_BACK else TerminationSignal


class HorseRecorder(DatabaseRecorder):
    """Adds to the first RUNNING of the run how it came to be: process, time of fork, time of load; and to
    the state in which the process leaves it, what the process has used."""

    def __init__(self, conninfo: dict[str, Any], claimed: Claimed) -> None:
        session = PsycopgSession(conninfo, application_name=f"portal run {claimed.run.name}"[:63])
        run = claimed.run
        super().__init__(session, run.id, run.attempt, on_abort=leave, result_scope=run.result_scope)
        self._stamps = {"infrastructure_pid": str(os.getpid()), "forked_time": _now()}

    def note_loaded(self) -> None:
        self._stamps["loaded_time"] = _now()

    def transition(self, run_id: UUID, state: State) -> Verdict:
        if state.is_running() and run_id == self.run_id:
            state = replace(state, details={**state.details, **self._stamps})
        elif run_id == self.run_id and not keeps_lease(state):
            state = replace(state, details={**state.details, **usage.of_this_process()})
        return super().transition(run_id, state)


def _now() -> str:
    return datetime.now(UTC).isoformat()


def leave(code: int = 0) -> NoReturn:
    """Stop at once. From the recorder's thread: this attempt was told that it no longer owns its run."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def keep_run_logs_to_the_run() -> None:
    """Writing each line to the agent's own output, too, would take more time than all the rest of logging."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(lambda record: not hasattr(record, "flow_run_id"))


def execute(claimed: Claimed, conninfo: dict[str, Any]) -> None:
    """Load the flow, run it, and report through a recorder of this attempt."""
    keep_run_logs_to_the_run()
    run = claimed.run
    recorder = HorseRecorder(conninfo, claimed)
    if task_run_id := claimed.redo_from:
        run = replace(run, reusable=recorder.transact(lambda tx: reusable_calls(tx, run.id, task_run_id)))
    backend.use(lambda: _backend(claimed, conninfo))
    try:
        flow = load_flow(_entrypoint(claimed), claimed.path)
        recorder.note_loaded()
        run_flow(flow, run.parameters, recorder=recorder, run=run)
    except RunReleased:
        pass  # suspended, handed back, or a later retry: another process, another attempt
    except TerminationSignal:  # cancelled while loading
        recorder.transition(run.id, Cancelled(message="Cancelled while the flow was loaded."))
    except EntrypointError as error:
        _report_unloadable(recorder, str(error))
    finally:
        recorder.close()


def _backend(claimed: Claimed, conninfo: dict[str, Any]) -> Backend:
    """Its connection is opened when the flow first asks for something."""
    session = PsycopgSession(conninfo, application_name=f"portal ask {claimed.run.name}"[:63])
    api = PortalHere(Caller(claimed.workspace_id, claimed.run.name))
    made = database_backend(session, claimed.workspace_id, claimed.run, settings.PORTAL_URL, api)
    return replace(made, errands=DatabaseErrands(conninfo, claimed.workspace_id, claimed.run))


def _entrypoint(claimed: Claimed) -> str:
    if claimed.entrypoint:
        return claimed.entrypoint
    raise EntrypointError("its deployment was deleted, so nobody knows where the code is.")


def _report_unloadable(recorder: HorseRecorder, reason: str) -> None:
    """Fail the run. The log gets the whole reason; the state its first and last line, where a traceback
    says what it is about and what it came to."""
    lines = reason.splitlines()
    short = " ".join([lines[0], *lines[1:][-1:]])
    text = f"Could not load the flow: {reason}"
    recorder.log(LogLine(recorder.run_id, None, datetime.now(UTC), logging.ERROR, "flow_runs", text))
    recorder.transition(recorder.run_id, Failed(message=f"Could not load the flow: {short}"))
