"""The horse: the forked process that executes one flow run, from its first line to its last.

The parent hands it (run, attempt) in memory. It opens a database connection of its own and always
leaves by `os._exit`: 0 after it has reported, 1 if it could not (the parent then says why).
"""

import os
import signal
import sys
import traceback
from datetime import UTC, datetime
from types import FrameType
from typing import Any, NoReturn

from django.db import connections

from agents.claim import Claimed
from agents.guard import die_with_parent
from flows.catalog.entrypoints import load_flow
from flows.sdk.engine import TerminationSignal, run_flow
from flows.sdk.recorder import Aborted, LogLine
from flows.sdk.states import Cancelled, Failed
from runs.recorder import DatabaseRecorder
from runs.session import PsycopgSession

_ERROR = 40  # logging.ERROR


def fork(claimed: Claimed, conninfo: dict[str, Any], session: PsycopgSession) -> int:
    """Start the horse of a claimed run and return its pid, which is also its process group.

    `session` is the parent's: the child forgets it. Raises OSError when the system has no room.
    """
    connections.close_all()  # a child must not share a connection of Django's
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        _live(claimed, conninfo, session, parent)
    os.setpgid(pid, pid)  # both sides do it: whoever comes first, the group is there for the guard
    return pid


def _live(claimed: Claimed, conninfo: dict[str, Any], session: PsycopgSession, parent: int) -> NoReturn:
    code = 1
    try:
        os.setpgid(0, 0)
        die_with_parent(parent)
        session.forget()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, _terminate)
        execute(claimed, conninfo)
        code = 0
    except Aborted:
        code = 0  # somebody else decided about this run: nothing to report
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _terminate(signum: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once: hooks and the last report run undisturbed
    raise TerminationSignal


def execute(claimed: Claimed, conninfo: dict[str, Any]) -> None:
    """Load the flow, run it, and report through a recorder of this attempt."""
    forked = datetime.now(UTC)
    run = claimed.run
    recorder = DatabaseRecorder(conninfo, run.id, run.attempt)
    try:
        flow = load_flow(claimed.entrypoint, claimed.path)
        recorder.stamp(forked=forked, loaded=datetime.now(UTC), pid=str(os.getpid()))
        run_flow(flow, run.parameters, recorder=recorder, run=run)
    except TerminationSignal:  # cancelled while loading
        recorder.transition(run.id, Cancelled())
    finally:
        recorder.close()
