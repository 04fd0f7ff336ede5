"""Sessions for errands: quick ones, and one that hears what PostgreSQL notifies it of."""

import contextlib
import os
import select
from typing import Any

import psycopg
from django.conf import settings
from psycopg import sql

from runs.session import PsycopgSession, Row


class QuickSession(PsycopgSession):
    """Commits are not waited for: a crash of PostgreSQL may forget the last milliseconds of them.

    They are where a pooler would give the connection, with its setting, to others after each transaction.
    """

    def _connect(self) -> "psycopg.Connection[Row]":
        before = self._connection
        connection = super()._connect()
        if connection is not before and settings.DATABASE_POOLER != "transaction":
            connection.execute("SET synchronous_commit = off")
        return connection


class ListeningSession(QuickSession):
    """A session that can wait. One thread uses it; `wake` may be called by any."""

    def __init__(self, conninfo: dict[str, Any], application_name: str, channel: str) -> None:
        super().__init__(conninfo, application_name)
        self._channel = channel
        self._heard: dict[str, None] = {}  # each once, in order
        self._wakes = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def __del__(self) -> None:
        os.close(self._wakes)

    def _connect(self) -> "psycopg.Connection[Row]":
        before = self._connection
        connection = super()._connect()
        if connection is not before:
            connection.add_notify_handler(lambda notify: self.hear(notify.payload))
            connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._channel)))
        return connection

    def hear(self, payload: str) -> None:
        """Take a payload as heard."""
        self._heard[payload] = None

    def heard(self) -> list[str]:
        """The payloads of all notifications since the last call."""
        payloads, self._heard = list(self._heard), {}
        return payloads

    def wake(self) -> None:
        """Let `wait` return."""
        os.eventfd_write(self._wakes, 1)

    def wait(self, seconds: float) -> None:
        """Return when something was heard or `wake` was called, or after `seconds`.

        Raises psycopg.OperationalError when the connection is lost.
        """
        if self._heard:
            return
        connection = self._connect()
        poll = select.poll()
        poll.register(connection.fileno(), select.POLLIN)
        poll.register(self._wakes, select.POLLIN)
        ready = {descriptor for descriptor, _ in poll.poll(seconds * 1000)}
        if self._wakes in ready:
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._wakes)
        if connection.fileno() in ready:
            connection.pgconn.consume_input()
            while notify := connection.pgconn.notifies():
                self.hear(notify.extra.decode())
