"""Fixtures that every test may use."""

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
import pytest
import redis
from django.db import connections
from pytest_django.plugin import DjangoDbBlocker

from tests.processes import RunningStack


def _database_url(name: str) -> str:
    """The address of another database on the test server."""
    return urlunsplit(urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}"))


def _administer(statement: str) -> None:
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(statement.encode())


def _template_of(database: str) -> str:
    return f"{database}_template"


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Beside the test database, a copy of it before its first use; `stack` copies that one."""
    with django_db_blocker.unblock():
        source = connections["default"].settings_dict["NAME"]
        connections["default"].close()
    _administer(f'DROP DATABASE IF EXISTS "{_template_of(source)}"')
    _administer(f'CREATE DATABASE "{_template_of(source)}" TEMPLATE "{source}"')
    yield
    _administer(f'DROP DATABASE "{_template_of(source)}"')


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
            connection.close()
            connection.settings_dict["NAME"] = original
            _administer(f'DROP DATABASE "{name}" WITH (FORCE)')
