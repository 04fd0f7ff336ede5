"""Following a run from the command line: its states, its log lines, and why it is not running."""

import logging
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from operator import itemgetter
from types import FrameType
from typing import Any

from portal.client import Portal, PortalError

POLL = 0.2  # seconds
PATIENCE = 60.0  # seconds that the server may be away
TERMINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}

Write = Callable[[str], Any]
Entry = tuple[datetime, str]


def watch(portal: Portal, run_id: str, write: Write) -> str:
    """Write what happens until the run is over; return its final state type.

    A server that is away is waited for up to PATIENCE. Raises PortalError after that, and KeyboardInterrupt
    on Ctrl-C. Main thread only.
    """
    with _interrupts() as check:
        return _watch(Watcher(portal, run_id, write), check)


@contextmanager
def _interrupts() -> Iterator[Callable[[], None]]:
    """What raises KeyboardInterrupt if there was one: the first is only printed if it comes while the
    interpreter is in a callback, as of its garbage collection."""
    came: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        came.append(number)
        raise KeyboardInterrupt

    def check() -> None:
        if came:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)


def _watch(watcher: "Watcher", check: Callable[[], None]) -> str:
    away_since: float | None = None
    while True:
        check()
        try:
            final = watcher.step()
            away_since = None
        except PortalError as error:
            away_since = away_since or time.monotonic()
            if error.status != 503 or time.monotonic() - away_since > PATIENCE:
                raise
            final = None
        if final is not None:
            return final
        time.sleep(POLL)


class Watcher:
    """One look after the other at a run; each writes what is new."""

    def __init__(self, portal: Portal, run_id: str, write: Write) -> None:
        self._portal = portal
        self._run_id = run_id
        self._write = write
        self._states: set[str] = set()
        self._last_log: str | None = None
        self._seen: list[str] = []  # codes of the reasons at the last look
        self._told: list[str] = []

    def step(self) -> str | None:
        """Write what is new; return the final state type once the run is over."""
        # The run first: one that is over has all its states and lines, so none is missed below.
        run = self._portal.get(f"flow_runs/{self._run_id}")
        for when, text in sorted([*self._new_states(), *self._new_lines()], key=itemgetter(0)):
            self._write(f"{when:%H:%M:%S}.{when.microsecond // 1000:03} | {text}")
        self._tell_reasons(run["waiting_on"])
        state: str = run["state_type"]
        return state if state in TERMINAL else None

    def _new_states(self) -> Iterator[Entry]:
        for state in self._portal.get(f"flow_runs/{self._run_id}/states"):
            if state["id"] not in self._states:
                self._states.add(state["id"])
                message = f": {state['message']}" if state["message"] else ""
                yield datetime.fromisoformat(state["timestamp"]), f"{state['name']}{message}"

    def _new_lines(self) -> Iterator[Entry]:
        lines = self._page_of_lines()
        while lines:
            for line in lines:
                level = logging.getLevelName(line["level"])
                yield datetime.fromisoformat(line["timestamp"]), f"{level:<7} | {line['message']}"
            self._last_log = lines[-1]["id"]
            lines = self._page_of_lines()

    def _page_of_lines(self) -> list[dict[str, Any]]:
        after = {"after": self._last_log} if self._last_log else {}
        page = self._portal.get("logs/", flow_run=self._run_id, limit=1000, **after)
        lines: list[dict[str, Any]] = page["results"]
        return lines

    def _tell_reasons(self, waiting_on: list[dict[str, Any]]) -> None:
        """Only what holds for two looks: a run that starts at once has nothing to explain."""
        codes = [reason["code"] for reason in waiting_on]  # not texts: they may count seconds
        if codes == self._seen != self._told:
            self._told = codes
            for reason in waiting_on:
                self._write(f"  waiting: {reason['text']} {reason['fix']}".rstrip())
        self._seen = codes
