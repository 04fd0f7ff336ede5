"""Flows that are called as plain Python: where their runs are reported, and how they are stopped."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from flows.sdk import logs
from flows.sdk.memory import MemoryRecorder
from flows.sdk.recorder import Recorder
from flows.sdk.results import process_results
from flows.sdk.signals import TerminationSignal


@contextmanager
def script_recorder() -> Iterator[Recorder]:
    """With PORTAL_API_URL set, runs are reported there (with the key PORTAL_API_KEY); else nowhere.

    What runs in the main thread of a script can be cancelled from Portal, and by SIGTERM.
    """
    logs.log_to_stderr()
    url = os.environ.get("PORTAL_API_URL")
    if not url:
        yield MemoryRecorder(limit=0, results=process_results)  # nobody will ask what happened
        return
    from flows.sdk.client import ApiClient
    from flows.sdk.http import HttpRecorder

    client = ApiClient(url, os.environ.get("PORTAL_API_KEY", ""))
    recorder = HttpRecorder(client, on_cancel=_interrupt)
    try:
        with _termination():
            yield recorder
    finally:
        recorder.close()


def _interrupt() -> None:
    """Send the main thread a real SIGTERM, which also wakes it, if there is a handler for it."""
    main = threading.main_thread().ident
    if main is not None and callable(signal.getsignal(signal.SIGTERM)):
        signal.pthread_kill(main, signal.SIGTERM)


@contextmanager
def _termination() -> Iterator[None]:
    """Meanwhile SIGTERM ends the run as Cancelled, unless the script handles the signal itself."""
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _terminate(signum: int, frame: FrameType | None) -> None:
    signal.signal(signum, signal.SIG_IGN)  # once: hooks and the last report run undisturbed
    raise TerminationSignal
