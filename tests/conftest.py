"""Fixtures that every test may use."""

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
import pytest
import redis
from asgiref.sync import SyncToAsync
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.db import connections
from django.test.utils import setup_databases, teardown_databases
from pytest_django.plugin import DjangoDbBlocker

from tests.processes import RunningStack

# A good hash takes half a second, for each person of each test. The count stands in the hash: servers read it there.
PBKDF2PasswordHasher.iterations = 1


def _database_url(name: str) -> str:
    """The address of another database on the test server."""
    return urlunsplit(urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}"))


def _administer(statement: str) -> None:
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(statement.encode())


def _disconnect() -> None:
    """Leave the database: this thread, and the one in which every async test of the process uses the ORM."""
    connections["default"].close()
    SyncToAsync.single_thread_executor.submit(connections.close_all).result()


def _template_of(database: str) -> str:
    return f"{database}_template"


@pytest.fixture(scope="session")
def django_db_setup(
    django_test_environment: None, django_db_modify_db_settings: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[None]:
    """The test database and, beside it, a copy from before its first use; `stack` copies that one.

    pytest-django's own makes a database only if a test has its `django_db` mark, which those of `stack` lack.
    """
    with django_db_blocker.unblock():
        config = setup_databases(verbosity=0, interactive=False, aliases={"default"})
        source = connections["default"].settings_dict["NAME"]
        connections["default"].close()
    _administer(f'DROP DATABASE IF EXISTS "{_template_of(source)}"')
    _administer(f'CREATE DATABASE "{_template_of(source)}" TEMPLATE "{source}"')
    yield
    _administer(f'DROP DATABASE "{_template_of(source)}"')
    with django_db_blocker.unblock():
        teardown_databases(config, verbosity=0)


@pytest.fixture
def stack(
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> Iterator[RunningStack]:
    """A fresh committed database, an empty Redis, and `manage.py` children that use them.

    The test's own ORM is pointed at that database. Do not combine it with `db`: a transaction that
    is rolled back shows its rows to no other process.
    """
    if {"db", "transactional_db"} & set(request.fixturenames):
        pytest.fail("use either `stack` or `db`: other processes cannot see an open transaction")
    connection = connections["default"]
    original = connection.settings_dict["NAME"]
    name = f"stack_{uuid4().hex[:12]}"
    _administer(f'CREATE DATABASE "{name}" TEMPLATE "{_template_of(original)}"')
    redis.Redis.from_url(os.environ["REDIS_URL"]).flushall()
    running = RunningStack(_database_url(name), os.environ["REDIS_URL"], tmp_path)
    with django_db_blocker.unblock():
        connection.close()
        connection.settings_dict["NAME"] = name
        try:
            yield running
        finally:
            running.stop()
            _disconnect()
            connection.settings_dict["NAME"] = original
            _administer(f'DROP DATABASE "{name}" WITH (FORCE)')
