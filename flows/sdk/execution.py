"""Executing one claimed run in the process that was started for it, from the first line to the last report.

An agent's forked horse does so with its own connection to the database, an isolated process over HTTP.
"""

import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import FrameType
from typing import NoReturn

from flows.sdk.engine import run_flow
from flows.sdk.entrypoints import EntrypointError, load_flow
from flows.sdk.recorder import Aborted, FlowRunInfo, LogLine, Recorder
from flows.sdk.signals import HandedBack, RunReleased, TerminationSignal
from flows.sdk.states import Cancelled, Failed, State, keeps_process
from flows.sdk.usage import of_this_process

HAND_BACK = signal.SIGUSR2  # from the agent: end without an end of the run, another agent takes it


@dataclass(frozen=True, slots=True)
class Order:
    """Which run to execute, and where its code lies. `entrypoint` is empty if the deployment was deleted."""

    run: FlowRunInfo
    entrypoint: str
    path: str


class Stamps:
    """Adds to the first RUNNING of the run how it came to be: process, time of fork, time of load; and to
    the state in which the process leaves it, what the process has used."""

    def __init__(self, forked: datetime | None = None) -> None:
        """`forked` is when this process was started; None: just now."""
        begun = forked or datetime.now(UTC)
        self._start = {"infrastructure_pid": str(os.getpid()), "forked_time": begun.isoformat()}

    def note_loaded(self) -> None:
        self._start["loaded_time"] = datetime.now(UTC).isoformat()

    def on(self, state: State) -> State:
        """The state of the root run, with what there is to add."""
        if state.is_running():
            return replace(state, details={**state.details, **self._start})
        if not keeps_process(state):
            return replace(state, details={**state.details, **of_this_process()})
        return state


def live(work: Callable[[], None]) -> NoReturn:
    """Do `work`, all that this process is for, and leave: code 0 after it has reported, 1 if it could not."""
    code = 1
    try:
        _obey_signals()
        work()
        code = 0
    except Aborted:
        code = 0  # somebody else decided about this run: nothing to report
    except BaseException:
        traceback.print_exc()
    finally:
        leave(code)


def leave(code: int = 0) -> NoReturn:
    """Stop at once. From the recorder's thread: this attempt was told that it no longer owns its run."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _obey_signals() -> None:
    """Let SIGTERM cancel the run and HAND_BACK give it back. Ctrl-C in a terminal is the agent's affair."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(HAND_BACK, _stop)


def _stop(signum: int, frame: FrameType | None) -> None:
    for number in (signal.SIGTERM, HAND_BACK):  # once: hooks and the last report run undisturbed
        signal.signal(number, signal.SIG_IGN)
    raise HandedBack if signum == HAND_BACK else TerminationSignal


def execute(order: Order, recorder: Recorder, stamps: Stamps) -> None:
    """Load the flow, run it, and report; then close the recorder. Raises Aborted."""
    run = order.run
    try:
        flow = load_flow(_entrypoint(order), order.path)
        stamps.note_loaded()
        run_flow(flow, run.parameters, recorder=recorder, run=run)
    except RunReleased:
        pass  # suspended, handed back, or a later retry: another process, another attempt
    except TerminationSignal:  # cancelled while loading
        recorder.transition(run.id, Cancelled(message="Cancelled while the flow was loaded."))
    except EntrypointError as error:
        _report_unloadable(run, recorder, str(error))
    finally:
        recorder.close()


def _entrypoint(order: Order) -> str:
    if order.entrypoint:
        return order.entrypoint
    raise EntrypointError("its deployment was deleted, so nobody knows where the code is.")


def _report_unloadable(run: FlowRunInfo, recorder: Recorder, reason: str) -> None:
    """Fail the run. The log gets the whole reason; the state its first and last line, where a traceback
    says what it is about and what it came to."""
    lines = reason.splitlines()
    short = " ".join([lines[0], *lines[1:][-1:]])
    text = f"Could not load the flow: {reason}"
    recorder.log(LogLine(run.id, None, datetime.now(UTC), logging.ERROR, "flow_runs", text))
    recorder.transition(run.id, Failed(message=f"Could not load the flow: {short}"))
