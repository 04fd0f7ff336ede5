"""Fixtures that every test may use."""

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import redis
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.db import connection
from django.test import TransactionTestCase
from hypothesis import HealthCheck, settings
from pytest_django.plugin import DjangoDbBlocker

from tests import databases
from tests.processes import RunningStack

# A good hash takes a third of a second, for each person of each test. Servers read the count in the hash.
PBKDF2PasswordHasher.iterations = 1

# How long an example takes to make or to run says how busy the machine is, not whether the code is right.
settings.register_profile("portal", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("portal")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark what touches the database: `.ci/run` runs it on each version of PostgreSQL."""
    if item.get_closest_marker("django_db") or "django_db_setup" in getattr(item, "fixturenames", ()):
        item.add_marker("database")


@pytest.fixture(scope="session")
def django_db_setup(django_test_environment: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """The database of this test process.

    pytest-django's own is migrated in each process, and made only if a test has its `django_db` mark, which
    those of `stack` lack.
    """
    name = f"{databases.template()}_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
    with django_db_blocker.unblock():
        databases.migrate()
        databases.copy(name)
        databases.use(name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", lambda test: databases.empty())
        yield
    databases.disconnect()
    databases.drop(name)


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
    original = connection.settings_dict["NAME"]
    name = f"stack_{uuid4().hex[:12]}"
    databases.copy(name)
    redis.Redis.from_url(os.environ["REDIS_URL"]).flushall()
    running = RunningStack(databases.url_of(name), os.environ["REDIS_URL"], tmp_path)
    with django_db_blocker.unblock():
        databases.use(name)
        try:
            yield running
        finally:
            running.stop()
            databases.use(original)
            databases.drop(name)
