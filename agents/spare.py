"""A database connection for the next run, opened and warmed while its agent has nothing to do.

A new backend of PostgreSQL needs some 10 ms until it has answered its first statements: it starts, and reads
what it must know of the tables. The horse inherits the spare one; the parent then lets go of it.
"""

import time
from typing import Any
from uuid import UUID

import psycopg

from flows.sdk.states import Running
from runs.patience import patience
from runs.session import PsycopgSession
from runs.transition import transition

# Firewalls forget connections on which nothing is said.
LONGEST_SECONDS = 60.0
PATIENCE_SECONDS = 3.0
NAME = "portal next run"
NO_RUN = UUID(int=0)


class Spare:
    """At most one open connection that nobody uses yet. Without it, a horse opens its own."""

    def __init__(self, conninfo: dict[str, Any]) -> None:
        self._conninfo = conninfo
        self._opened_at = 0.0
        self.session: PsycopgSession | None = None

    def prepare(self) -> None:
        """Open one, if there is none or it has grown old. Never raises."""
        if self.session is not None and time.monotonic() - self._opened_at < LONGEST_SECONDS:
            return
        self.close()
        session = PsycopgSession(self._conninfo, NAME)
        try:
            with patience(PATIENCE_SECONDS):
                transition(session, NO_RUN, Running())
        except psycopg.Error:
            session.close()
            return
        self.session, self._opened_at = session, time.monotonic()

    def handed_over(self) -> None:
        """A forked child has it now."""
        if self.session is not None:
            self.session.abandon()
        self.session = None

    def close(self) -> None:
        if self.session is not None:
            self.session.close()
        self.session = None
