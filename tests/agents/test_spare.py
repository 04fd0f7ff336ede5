"""The connection that an idle agent has ready for its next run."""

import os
import select
from collections.abc import Iterator

import pytest
from django.db import connection

from agents.spare import NAME, Spare
from runs.session import PsycopgSession, conninfo_of_django
from tests.faults.conftest import Stage
from tests.processes import RunningStack, wait_until


def backends(name: str) -> set[int]:
    """The pids of PostgreSQL's processes for connections of this name to this database."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = %s",
            [name],
        )
        return {pid for (pid,) in cursor.fetchall()}


def session_of(spare: Spare) -> PsycopgSession:
    assert spare.session is not None
    return spare.session


def answers(descriptor: int) -> bool:
    """Whether PostgreSQL says that it is ready when it is asked by a Sync message."""
    os.write(descriptor, b"S" + (4).to_bytes(4, "big"))
    select.select([descriptor], [], [], 5)
    return os.read(descriptor, 6) == b"Z" + (5).to_bytes(4, "big") + b"I"


@pytest.fixture
def spare() -> Iterator[Spare]:
    spare = Spare(conninfo_of_django())
    yield spare
    spare.close()


@pytest.mark.django_db(transaction=True)
def test_one_is_opened_and_kept(spare: Spare) -> None:
    spare.prepare()
    first = backends(NAME)
    spare.prepare()
    assert len(first) == 1
    assert backends(NAME) == first


@pytest.mark.django_db(transaction=True)
def test_an_old_one_is_replaced(spare: Spare, monkeypatch: pytest.MonkeyPatch) -> None:
    spare.prepare()
    first = backends(NAME)
    monkeypatch.setattr("agents.spare.LONGEST_SECONDS", 0.0)
    spare.prepare()
    wait_until(lambda: not backends(NAME) & first, what="the old one is closed")
    assert len(backends(NAME)) == 1


@pytest.mark.django_db(transaction=True)
def test_letting_go_of_it_does_not_close_it_for_the_child(spare: Spare) -> None:
    """The child's descriptor is a copy of the parent's, as `inherited` is."""
    spare.prepare()
    opened = session_of(spare)._connection
    assert opened is not None
    inherited = os.dup(opened.fileno())
    spare.handed_over()
    assert spare.session is None
    assert answers(inherited)
    os.close(inherited)
    wait_until(lambda: not backends(NAME), what="PostgreSQL sees its last descriptor closed")


@pytest.mark.django_db(transaction=True)
def test_its_new_name_outlives_a_lost_connection(spare: Spare) -> None:
    spare.prepare()
    session = session_of(spare)
    session.rename("portal run otter")
    assert len(backends("portal run otter")) == 1
    session.close()
    session.execute("SELECT 1")
    assert len(backends("portal run otter")) == 1


def test_without_a_server_there_is_none() -> None:
    spare = Spare({"host": "127.0.0.1", "port": 1, "dbname": "none"})
    spare.prepare()
    assert spare.session is None


@pytest.mark.processes
def test_a_run_gets_it_and_the_agent_opens_the_next(stack: RunningStack) -> None:
    stage = Stage(stack)
    stage.agent()
    wait_until(lambda: backends(NAME), what="the idle agent opens one")
    spare = backends(NAME)
    run = stage.create("hold")
    stage.started(run)
    assert backends(f"portal run {run.name}") == spare
    stage.go()
    assert stage.ended(run).state_type == "COMPLETED"
    wait_until(lambda: backends(NAME), what="the agent opens another one")
    assert not backends(NAME) & spare


@pytest.mark.processes
def test_a_run_starts_although_its_connection_was_closed(stack: RunningStack) -> None:
    stage = Stage(stack)
    stage.agent()
    wait_until(lambda: backends(NAME), what="the idle agent opens one")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pid, 5000) FROM unnest(%s) AS pid", [[*backends(NAME)]])
    assert stage.ended(stage.create("quick")).state_type == "COMPLETED"
