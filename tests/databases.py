"""Databases of tests: migrated once for all processes, copied for each of them, emptied between tests."""

import fcntl
import os
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from asgiref.sync import SyncToAsync
from django.core.management import call_command
from django.db import connection, connections, transaction

# Made by migrations and never changed by tests. All else is written by the tests themselves.
LASTING = {"auth_permission", "django_content_type", "django_migrations"}
TABLES = """
    SELECT relname FROM pg_class
    WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = 'public'::regnamespace
"""


def url_of(database: str) -> str:
    """The address of another database on the test server."""
    return urlunsplit(urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{database}"))


def administer(statement: str) -> bool:
    """Execute a statement outside of the tests' databases. Whether it found rows, if it looks for any."""
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as server:
        cursor = server.execute(statement.encode())
        return cursor.description is not None and cursor.fetchone() is not None


def template() -> str:
    """The name of the migrated database that all test processes of one run copy."""
    return f"{_folder().name}_migrated"


def copy(name: str) -> None:
    """Make a database as it is after the migrations."""
    administer(f'CREATE DATABASE "{name}" TEMPLATE "{template()}"')


def drop(name: str) -> None:
    administer(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def migrate() -> None:
    """Make the template, unless another test process has made it; to be called by each of them.

    Migrating takes seconds of two processes' CPU time, so the others wait for the first.
    """
    with (_folder() / "migrated.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if administer(f"SELECT 1 FROM pg_database WHERE datname = '{template()}'"):
            return
        unfinished = f"{template()}_unfinished"
        administer(f'CREATE DATABASE "{unfinished}"')
        use(unfinished)
        call_command("migrate", verbosity=0, interactive=False)
        connection.close()
        administer(f'ALTER DATABASE "{unfinished}" RENAME TO "{template()}"')


def disconnect() -> None:
    """Leave the database: this thread, and the one in which every async test of the process uses the ORM."""
    connection.close()
    SyncToAsync.single_thread_executor.submit(connections.close_all).result()


def use(name: str) -> None:
    """Point Django's connections of this process to another database."""
    disconnect()
    connection.settings_dict["NAME"] = name


def empty() -> None:
    """Delete what a test has committed.

    Django's flush truncates every table, index and partition, and then makes permissions and content types
    anew. That takes ten times as long as to delete the few rows there are.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")  # in any order, and without triggers
        cursor.execute(_deletions())


@cache
def _deletions() -> str:
    with connection.cursor() as cursor:
        cursor.execute(TABLES)
        names = {name for (name,) in cursor.fetchall()} - LASTING
    return "; ".join(f'DELETE FROM "{name}"' for name in sorted(names))


def _folder() -> Path:
    return Path(os.environ["PORTAL_TEST_FOLDER"])
