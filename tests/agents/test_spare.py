"""The connection that an idle agent has ready for its next run."""

import os
import select
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

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


def borrow(spare: Spare, use: Callable[[], object]) -> None:
    """Lend it to a child that does `use` and ends; take it back."""
    spare.lend()
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            use()
        os._exit(0)
    os.waitpid(child, 0)
    spare.take_back()


@pytest.mark.django_db(transaction=True)
def test_what_a_child_leaves_in_good_order_is_kept(spare: Spare) -> None:
    spare.prepare()
    first = backends(NAME)

    def run() -> None:
        session = spare.session_for("portal run otter")
        session.execute("SELECT 1")
        spare.leave(session)

    for _ in range(3):
        borrow(spare, run)
    assert backends("portal run otter") == first


@pytest.mark.django_db(transaction=True)
def test_statements_that_children_prepare_are_never_in_each_others_way(spare: Spare) -> None:
    def run() -> None:
        session = spare.session_for("portal run otter")
        for n in range(7):  # from the sixth time on, a statement is prepared
            session.execute("SELECT 1")
            session.execute("SELECT %s + 1", [n])
        spare.leave(session)

    spare.prepare()
    first = backends(NAME)

    for _ in range(10):
        borrow(spare, run)
        spare.prepare()
        assert backends(NAME) == first, "a child that fails leaves no connection"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("how", ["ends without leaving it", "in a transaction", "with one of its own"])
def test_any_other_is_let_go_of(spare: Spare, how: str) -> None:
    spare.prepare()
    first = backends(NAME)

    def run() -> None:
        session = session_of(spare)
        if how == "in a transaction":
            session.execute("BEGIN")
        if how == "with one of its own":
            session.close()
            session.execute("SELECT 1")
        if how != "ends without leaving it":
            spare.leave(session)

    borrow(spare, run)
    assert spare.session is None
    wait_until(lambda: not backends(NAME) & first, what="PostgreSQL sees its last descriptor closed")


@pytest.mark.django_db(transaction=True)
def test_letting_go_of_it_does_not_close_it_for_others(spare: Spare) -> None:
    """A child's descriptor is a copy of the parent's, as `inherited` is."""
    spare.prepare()
    opened = session_of(spare)._connection
    assert opened is not None
    inherited = os.dup(opened.fileno())
    borrow(spare, lambda: None)
    assert spare.session is None
    assert answers(inherited)
    os.close(inherited)
    wait_until(lambda: not backends(NAME), what="PostgreSQL sees its last descriptor closed")


@pytest.mark.django_db(transaction=True)
def test_what_one_child_prepares_does_not_trouble_the_next(spare: Spare) -> None:
    """psycopg prepares what it sees often, and numbers the statements anew in each process."""
    spare.prepare()
    read, write = os.pipe()

    def run(number: int) -> None:
        session = spare.session_for(f"portal run {number}")
        found = {session.execute(f"SELECT {number} + %s", [1])[0][0] for _ in range(10)}
        os.write(write, b"." if found == {number + 1} else b"!")
        spare.leave(session)

    for number in range(3):
        borrow(spare, partial(run, number))
    assert os.read(read, 10) == b"..."


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
def test_runs_share_it_one_after_the_other(stack: RunningStack) -> None:
    stage = Stage(stack)
    stage.agent()
    wait_until(lambda: backends(NAME), what="the idle agent opens one")
    spare = backends(NAME)
    for _ in range(2):
        run = stage.create("quick")
        stage.started(run)
        assert stage.ended(run).state_type == "COMPLETED"
    run = stage.create("hold")
    stage.started(run)
    assert backends(f"portal run {run.name}") == spare
    stage.go()
    assert stage.ended(run).state_type == "COMPLETED"
    wait_until(lambda: backends(NAME) == spare, what="the idle agent has it again")


@pytest.mark.processes
def test_a_killed_run_takes_it_along_and_the_agent_opens_another(stack: RunningStack) -> None:
    stage = Stage(stack)
    stage.agent()
    wait_until(lambda: backends(NAME), what="the idle agent opens one")
    spare = backends(NAME)
    run = stage.create("hold")
    os.kill(stage.started(run), signal.SIGKILL)
    assert stage.ended(run).state_type == "CRASHED"
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
