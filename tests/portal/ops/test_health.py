"""Health for machines: true, complete, and without secrets."""

from collections.abc import Iterator

import pytest
from django.conf import settings
from django.db import connection, connections
from django.db.migrations.loader import MigrationLoader
from django.test import Client

from portal.ops import health
from portal.ops.prepare import LOCK
from tests.processes import RunningStack


@pytest.fixture(autouse=True)
def fresh_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As in a process that was not ready before."""
    monkeypatch.setattr(health, "_prepared", False)
    health._redis.cache_clear()
    yield
    health._redis.cache_clear()


@pytest.mark.django_db
def test_ready_when_database_and_redis_answer(client: Client) -> None:
    response = client.get("/api/ready")

    assert (response.status_code, response.json()) == (200, {"status": "ready"})


def test_alive_without_any_database(client: Client) -> None:
    assert client.get("/api/health").json() == {"status": "alive"}


@pytest.mark.django_db
def test_not_ready_while_migrations_are_missing(client: Client) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'runs'")

    response = client.get("/api/ready")

    assert response.status_code == 503
    assert response.headers["Retry-After"] == "1"
    assert "manage.py prepare" in response.json()["missing"]["database"]


@pytest.mark.django_db
def test_not_ready_while_it_is_being_prepared(client: Client) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])

    assert client.get("/api/ready").status_code == 503


@pytest.mark.django_db
def test_the_next_preparation_does_not_take_a_ready_process_out(client: Client) -> None:
    assert client.get("/api/ready").status_code == 200
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])

    assert client.get("/api/ready").status_code == 200


def test_a_database_that_is_away_is_named_and_no_secret_is(
    client: Client, stack: RunningStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    connections["default"].close()
    with monkeypatch.context() as patch:
        patch.setitem(connections["default"].settings_dict, "NAME", "gone")
        response = client.get("/api/ready")

    assert response.status_code == 503
    assert response.json()["missing"] == {"database": "does not answer"}


@pytest.mark.django_db
def test_a_redis_that_is_away_is_named(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "REDIS_URL", "redis://127.0.0.1:1/0")

    response = client.get("/api/ready")

    assert response.json()["missing"] == {"redis": "does not answer"}


@pytest.mark.parametrize("path", ["/api/health/", "/api/ready/x", "/api/healthy"])
def test_only_the_exact_paths_are_open(client: Client, path: str) -> None:
    assert client.get(path).status_code in {401, 404}


def test_nothing_is_changed_by_them(client: Client) -> None:
    assert client.post("/api/health").status_code == 405


@pytest.mark.django_db
def test_not_ready_before_there_are_tables(client: Client) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE django_migrations RENAME TO elsewhere")

    assert "not prepared" in client.get("/api/ready").json()["missing"]["database"]


def test_the_migrations_of_the_code_are_those_that_django_knows() -> None:
    assert health._migrations_of_code() == set(MigrationLoader(None).disk_migrations)


def test_apps_of_a_single_file_have_no_migrations() -> None:
    assert health._is_package("runs.migrations")
    assert not health._is_package("json.migrations"), "there is none in this package"
    assert not health._is_package("uuid.migrations"), "a module holds no others"
    assert not health._is_package("static"), "a folder without __init__.py"
