"""A database connection for the next run, opened and warmed while its agent has nothing to do.

A new backend of PostgreSQL needs some 10 ms until it has answered its first statements: it starts, and reads
what it must know of the tables. The horse inherits the spare one; a horse that comes to its end in good order
leaves it to the agent, for the next. Of any other horse the parent lets the connection go before it looks at
the run: what that horse had begun must not hold the row.
"""

import mmap
import time
from contextlib import suppress
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
    """At most one open connection that nobody uses. Without it, a horse opens its own."""

    def __init__(self, conninfo: dict[str, Any]) -> None:
        self._conninfo = conninfo
        self._used_at = 0.0
        self._is_named_after_run = False
        self._left = mmap.mmap(-1, 1)  # shared with the horses: 1 once the borrower has left it in good order
        self.session: PsycopgSession | None = None

    def prepare(self) -> None:
        """While there is nothing to do: `open` one, and let it go by its own name. Never raises."""
        self.open()
        if self.session is not None and self._is_named_after_run:
            with suppress(psycopg.Error), patience(PATIENCE_SECONDS):
                self.session.rename(NAME)
        self._is_named_after_run = False

    def open(self) -> None:
        """Open one, if there is none or it has not been used for long. Never raises."""
        if self.session is not None and time.monotonic() - self._used_at < LONGEST_SECONDS:
            return
        self.close()
        session = PsycopgSession(self._conninfo, NAME)
        try:
            with patience(PATIENCE_SECONDS):
                transition(session, NO_RUN, Running())
        except psycopg.Error:
            session.close()
            return
        self.session, self._used_at = session, time.monotonic()

    def lend(self) -> None:
        """Before the fork: the child uses it until it calls `leave` or ends."""
        self._left[0] = 0

    def session_for(self, name: str) -> PsycopgSession:
        """In the child: the spare session under this name, or a new one, that connects in a thread."""
        if self.session is not None:
            self.session.rename(name)
            return self.session
        session = PsycopgSession(self._conninfo, name)
        session.open_ahead()
        return session

    def leave(self, session: PsycopgSession) -> None:
        """In the child, in the end: leave the connection to the parent if it is the one that was lent and all
        is well with it; else close it."""
        if session is self.session and session.opened == 1 and session.leave_open():
            self._left[0] = 1
        else:
            session.close()

    def take_back(self) -> None:
        """When the child is gone: keep the connection that it left. What it did not leave is let go of."""
        if self.session is not None and not self._left[0]:
            self.session.abandon()
            self.session = None
        self._used_at = time.monotonic()
        self._is_named_after_run = True

    def close(self) -> None:
        if self.session is not None:
            self.session.close()
        self.session = None
