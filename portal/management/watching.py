"""Following a run from the command line: its states, its log lines, and why it is not running."""

import logging
import time
from collections.abc import Callable
from typing import Any

from portal.client import Portal, PortalError

POLL = 0.2  # seconds
PATIENCE = 60.0  # seconds that the server may be away
TERMINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}

Write = Callable[[str], Any]


def watch(portal: Portal, run_id: str, write: Write) -> str:
    """Write what happens until the run is over; return its final state type.

    A server that is away is waited for up to PATIENCE. Raises PortalError after that.
    """
    watcher = Watcher(portal, run_id, write)
    away_since: float | None = None
    while True:
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
        self._reasons: list[str] = []

    def step(self) -> str | None:
        """Write what is new; return the final state type once the run is over."""
        # The run first: a run that is over has all its states and lines, so none is missed below.
        run = self._portal.get(f"flow_runs/{self._run_id}")
        self._new_states()
        self._new_lines()
        self._new_reasons(run.get("waiting_on") or [])
        state: str = run["state_type"]
        return state if state in TERMINAL else None

    def _new_states(self) -> None:
        for state in self._portal.get(f"flow_runs/{self._run_id}/states"):
            if state["id"] not in self._states:
                self._states.add(state["id"])
                message = f": {state['message']}" if state["message"] else ""
                self._write(f"{_clock(state['timestamp'])} | {state['name']}{message}")

    def _new_lines(self) -> None:
        lines = [True]
        while lines:
            after = {"after": self._last_log} if self._last_log else {}
            lines = self._portal.get("logs/", flow_run=self._run_id, limit=1000, **after)["results"]
            for line in lines:
                self._last_log = line["id"]
                level = logging.getLevelName(line["level"])
                self._write(f"{_clock(line['timestamp'])} | {level:<7} | {line['message']}")

    def _new_reasons(self, waiting_on: list[dict[str, Any]]) -> None:
        # Codes, not texts: a text may count seconds.
        codes = [reason["code"] for reason in waiting_on]
        if codes != self._reasons:
            self._reasons = codes
            for reason in waiting_on:
                self._write(f"  waiting: {reason['text']} {reason['fix']}".rstrip())


def _clock(timestamp: str) -> str:
    """The time of day, to the millisecond, in UTC."""
    return timestamp[11:23].rstrip("Z")
