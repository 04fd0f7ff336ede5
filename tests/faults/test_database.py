"""PostgreSQL goes away: everybody waits for it, and nothing is lost."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from django.db import connection

from agents import doorbell
from agents.models import Agent
from tests.faults.conftest import Stage

pytestmark = pytest.mark.processes


@contextmanager
def outage() -> Iterator[None]:
    """The stack's database breaks every connection and takes no new one."""
    name = connection.settings_dict["NAME"]
    connection.close()
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as server:
        server.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false'.encode())
        server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        try:
            yield
        finally:
            server.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true'.encode())


def test_a_run_that_ends_during_an_outage_is_completed_after_it(stage: Stage) -> None:
    agent = stage.agent()
    run = stage.create("hold")
    stage.started(run)
    with outage():
        agent.wait_for(f"PostgreSQL does not answer, run {run.name} goes on")
        stage.go()
    assert stage.ended(run).state_type == "COMPLETED"


def test_a_horse_that_dies_during_an_outage_crashes_its_run_after_it(stage: Stage) -> None:
    agent = stage.agent()
    run = stage.create("hold")
    horse = stage.started(run)
    with outage():
        os.kill(horse, 9)
        agent.wait_for("PostgreSQL does not answer, cannot end run yet")
    assert stage.ended(run).state_type == "CRASHED"


def test_an_idle_agent_waits_for_the_database(stage: Stage) -> None:
    agent = stage.agent()
    queue_id = stage.deployment("quick").work_queue_id
    doorbell.rq_queue(queue_id)  # read its name while that can be read
    with outage():
        doorbell.ring(queue_id)
        agent.wait_for("PostgreSQL does not answer, trying again")
    assert stage.ended(stage.create("quick")).state_type == "COMPLETED"


def test_an_agent_starts_before_the_database(stage: Stage) -> None:
    with outage():
        agent = stage.stack.start("rqworker", "default")
        agent.wait_for("PostgreSQL does not answer, trying again")
    assert stage.ended(stage.create("quick")).state_type == "COMPLETED"


def test_an_agent_whose_row_was_deleted_writes_it_again(stage: Stage) -> None:
    stage.agent()
    Agent.objects.all().delete()
    assert stage.ended(stage.create("quick")).state_type == "COMPLETED"
    assert Agent.objects.count() == 1
