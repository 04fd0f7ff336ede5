"""PostgreSQL is away, in other words than usual: it is a replica now, or lost patience with a transaction."""

import time
from collections.abc import Iterator

import psycopg
import pytest
from django.db import ProgrammingError, connection

from runs.outages import is_outage
from runs.session import DjangoSession, PsycopgSession, conninfo_of_django

pytestmark = pytest.mark.django_db(transaction=True)

BECOMES_A_REPLICA = "SET LOCAL transaction_read_only = on"
LOSES_PATIENCE = "SET LOCAL idle_in_transaction_session_timeout = 1"
WRITE = "DELETE FROM runs_flowrun"


def write_after(session: DjangoSession | PsycopgSession, change: str) -> None:
    with session.transaction() as tx:
        tx.execute(change)
        time.sleep(0.1)
        tx.execute(WRITE)


@pytest.mark.parametrize("change", [BECOMES_A_REPLICA, LOSES_PATIENCE])
def test_agents_and_runs_take_it_for_an_outage_and_connect_anew(change: str) -> None:
    session = PsycopgSession(conninfo_of_django())
    with pytest.raises(psycopg.OperationalError):
        write_after(session, change)
    session.execute(WRITE)
    session.close()


@pytest.mark.parametrize("change", [BECOMES_A_REPLICA, LOSES_PATIENCE])
def test_services_and_the_api_take_it_for_an_outage(change: str) -> None:
    with pytest.raises(Exception) as caught:
        write_after(DjangoSession(), change)
    connection.close()
    assert is_outage(caught.value)


def test_services_and_the_api_take_it_for_an_outage_within_a_copy_too() -> None:
    other = PsycopgSession(conninfo_of_django())
    with pytest.raises(Exception) as caught, DjangoSession().transaction() as tx:
        [(backend,)] = tx.execute("SELECT pg_backend_pid()")
        tx.execute("CREATE TEMPORARY TABLE copied (number int)")
        tx.copy("COPY copied FROM STDIN", ended_while_it_copies(other, backend))
    connection.close()
    other.close()
    assert is_outage(caught.value)


def ended_while_it_copies(other: PsycopgSession, backend: int) -> Iterator[tuple[int]]:
    """Rows of a connection that PostgreSQL ends meanwhile."""
    yield (0,)
    other.execute("SELECT pg_terminate_backend(%s)", [backend])
    yield from ((number,) for number in range(1_000_000))


def test_a_mistake_of_ours_is_none() -> None:
    with pytest.raises(ProgrammingError) as caught:
        DjangoSession().execute("SELECT nonsense")
    assert not is_outage(caught.value)
