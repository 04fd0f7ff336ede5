"""An agent whose version does not go with the database says so and takes no runs."""

import pytest
from django.db import connection

from agents.models import Agent
from tests.faults.conftest import Stage
from tests.processes import RunningStack

pytestmark = pytest.mark.processes


@pytest.fixture
def stage(stack: RunningStack) -> Stage:
    return Stage(stack)


def applied(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def test_a_database_that_is_newer(stage: Stage) -> None:
    applied("INSERT INTO django_migrations (app, name, applied) VALUES ('runs', '9999_next', now())")
    run = stage.create("quick")

    done = stage.stack.run("rqworker", "default", "--burst")

    assert done.returncode == 3
    assert done.stderr.strip() == (
        "CommandError: This agent may not take runs: the database is newer than this version of Portal "
        "(it has runs.9999_next). Update Portal on this host, then start the agent again."
    )
    assert Agent.objects.get().refused.startswith("the database is newer")
    run.refresh_from_db()
    assert run.state_type == "SCHEDULED"


def test_a_database_that_is_older(stage: Stage) -> None:
    applied("DELETE FROM django_migrations WHERE app = 'agents'")
    done = stage.stack.run("rqworker", "default", "--burst")
    assert done.returncode == 3
    assert "the database is older than this version of Portal" in done.stderr
    assert "manage.py prepare" in done.stderr
    assert "Traceback" not in done.stderr
