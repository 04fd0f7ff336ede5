"""Database sessions: the same SQL over Django's connection or over a kept psycopg one.

Web processes and services use Django's connection; an agent's parent and its horses keep a
psycopg connection of their own. The code that changes runs is written once, against `Session`.
"""

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any, Protocol, TypeVar, cast

import psycopg
from django.conf import settings
from django.db import connection as django_connection
from django.db import transaction as django_transaction
from psycopg.pq import TransactionStatus

from flows.sdk import batching
from runs import announce
from runs.outages import IN_OTHER_WORDS
from runs.patience import patience

Row = tuple[Any, ...]
Params = Sequence[Any] | Mapping[str, Any]  # for %s, or for %(name)s
Result = TypeVar("Result")

RENAME = "SELECT set_config('application_name', %s, false), EXISTS (SELECT FROM pg_prepared_statements)"


class Transaction(Protocol):
    """An open transaction."""

    def execute(self, sql: str, params: Params = ()) -> list[Row]:
        """Run one statement and return its rows. JSON columns come back as text."""
        ...

    def copy(self, sql: str, rows: Iterator[Sequence[Any]]) -> None:
        """COPY rows in."""
        ...

    def on_commit(self, callback: Callable[[], None]) -> None:
        """Call back once the transaction is durable; never, if it is rolled back."""
        ...


class Session(Protocol):
    """Something that opens transactions."""

    def transaction(self) -> AbstractContextManager[Transaction]: ...

    def execute(self, sql: str, params: Params = ()) -> list[Row]:
        """Run one statement as a transaction of its own, in one round trip if possible."""
        ...


class _DjangoTransaction:
    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    def execute(self, sql: str, params: Params = ()) -> list[Row]:
        self._cursor.execute(sql, params)
        return cast(list[Row], self._cursor.fetchall()) if self._cursor.description else []

    def copy(self, sql: str, rows: Iterator[Sequence[Any]]) -> None:
        # Django translates errors of `execute` alone; an outage is known by Django's.
        with django_connection.wrap_database_errors, self._cursor.copy(sql) as copy:
            for row in rows:
                copy.write_row(row)

    def on_commit(self, callback: Callable[[], None]) -> None:
        django_transaction.on_commit(callback)


class DjangoSession:
    """Transactions on Django's connection of the current thread; nests as a savepoint."""

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        with django_transaction.atomic(), django_connection.cursor() as cursor:
            yield _DjangoTransaction(cursor)

    def execute(self, sql: str, params: Params = ()) -> list[Row]:
        with self.transaction() as tx:
            return tx.execute(sql, params)


class _PsycopgTransaction:
    def __init__(self, cursor: "psycopg.Cursor[Row]") -> None:
        self._cursor = cursor
        self.callbacks: list[Callable[[], None]] = []

    def execute(self, sql: str, params: Params = ()) -> list[Row]:
        self._cursor.execute(sql.encode(), params or None)
        return self._cursor.fetchall() if self._cursor.description else []

    def copy(self, sql: str, rows: Iterator[Sequence[Any]]) -> None:
        with self._cursor.copy(sql.encode()) as copy:
            for row in rows:
                copy.write_row(row)

    def on_commit(self, callback: Callable[[], None]) -> None:
        self.callbacks.append(callback)


class PsycopgSession:
    """One kept connection, opened on first use and again after it broke; one transaction at a time.

    A transaction on a broken connection raises `psycopg.OperationalError`: whether it was
    committed is then unknown, so callers repeat only what is idempotent.
    """

    def __init__(
        self, conninfo: dict[str, Any], application_name: str = "portal", patience_seconds: float = 0
    ) -> None:
        """`patience_seconds`: give up on a transaction that takes longer (0: never); main thread only."""
        self._patience_seconds = patience_seconds
        options = f"{conninfo.get('options', '')} {settings.DATABASE_IMPATIENCE}".strip()
        self._conninfo = {**conninfo, "application_name": application_name, "options": options}
        if settings.DATABASE_POOLER == "transaction":  # the next transaction may be on another connection
            self._conninfo["prepare_threshold"] = None
        self._connection: psycopg.Connection[Row] | None = None
        self._lock = threading.RLock()
        self._left_open: psycopg.Connection[Row] | None = None
        self.opened = 0  # connections, so far

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        with self._ready() as connection, connection.transaction(), connection.cursor() as cursor:
            open_transaction = _PsycopgTransaction(cursor)
            yield open_transaction
        with announce.together():
            for callback in open_transaction.callbacks:
                callback()

    def execute(self, sql: str, params: Params = ()) -> list[Row]:
        with self._ready() as connection, connection.cursor() as cursor:
            return _PsycopgTransaction(cursor).execute(sql, params)

    def rename(self, application_name: str) -> None:
        """Tell PostgreSQL another name, now if the connection is open. Never raises.

        What another process has prepared on it goes: this one would give the same names to other statements.
        So these two are not prepared, however often they are executed: the name may be taken by that process.
        """
        self._conninfo = {**self._conninfo, "application_name": application_name}
        if self._connection is not None:
            with suppress(psycopg.Error), self._ready() as connection:
                row = connection.execute(RENAME.encode(), [application_name], prepare=False).fetchone()
                if row and row[1]:
                    connection.execute("DEALLOCATE ALL", prepare=False)

    def leave_open(self) -> bool:
        """Let go of the connection without closing it: another process has a copy. False, and it
        stays, if that one could not go on: something is under way, or TLS has counted what was said."""
        with self._lock:
            connection = self._connection
            if connection is None or connection.closed or connection.pgconn.ssl_in_use:
                return False
            if connection.info.transaction_status is not TransactionStatus.IDLE:
                return False
            self._left_open, self._connection = connection, None
            return True

    def abandon(self) -> None:
        """Let go of a connection that a forked child goes on with: close it without a word to PostgreSQL."""
        if self._connection is not None and not self._connection.closed:
            nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            os.dup2(nowhere, self._connection.fileno(), inheritable=False)
            os.close(nowhere)
        self.close()

    def open_ahead(self) -> None:
        """Begin to connect, in a thread. What fails is told by the first transaction, which tries again."""
        threading.Thread(target=self._open_quietly, name="connecting", daemon=True).start()

    def _open_quietly(self) -> None:
        with suppress(psycopg.Error), self._lock:
            self._connect()

    @contextmanager
    def _ready(self) -> "Iterator[psycopg.Connection[Row]]":
        """The connection, for one thread at a time; dropped when it cannot be used any more."""
        with self._lock, patience(self._patience_seconds) if self._patience_seconds else nullcontext():
            connection = self._connect()
            try:
                yield connection
            except IN_OTHER_WORDS as error:
                self.close()
                raise psycopg.OperationalError(str(error)) from error
            except BaseException:
                # Broken, or a signal of this thread's left a statement under way: nothing more can be sent.
                if connection.info.transaction_status is not TransactionStatus.IDLE:
                    self.close()
                raise

    def _connect(self) -> "psycopg.Connection[Row]":
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(**self._conninfo, autocommit=True)
            self.opened += 1
            # Rows hold JSON as text, as on Django's connections.
            for type_name in ("json", "jsonb"):
                self._connection.adapters.register_loader(type_name, psycopg.types.string.TextLoader)
        return self._connection

    def close(self) -> None:
        """Drop the connection; the next transaction opens a new one."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    def forget(self) -> None:
        """In a forked child: let go of the parent's connection without closing its socket."""
        self._connection = None
        self._lock = threading.RLock()


def in_transaction(session: Session, work: Callable[[Transaction], Result]) -> Result:
    """Do `work` in a transaction."""
    with session.transaction() as tx:
        return work(tx)


def persistently(session: Session, work: Callable[[Transaction], Result]) -> Result:
    """Do `work` in a transaction, again and again while PostgreSQL is away.

    For what is safe to repeat even when a commit was done and only its answer got lost.
    """
    return batching.persistently(
        lambda: in_transaction(session, work), psycopg.OperationalError, "PostgreSQL"
    )


def conninfo_of_django() -> dict[str, Any]:
    """The psycopg connection parameters of Django's default database."""
    parameters = django_connection.get_connection_params()
    keep = {"dbname", "user", "password", "host", "port", "options", "sslmode", "sslrootcert"}
    return {key: value for key, value in parameters.items() if key in keep and value}
