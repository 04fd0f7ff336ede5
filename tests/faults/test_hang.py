"""A PostgreSQL that neither answers nor refuses: an agent gives up on its connection and makes another."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import connection

from runs.models import FlowRun
from tests.faults.conftest import Stage
from tests.faults.test_cancel import cancel
from tests.faults.test_drain import begun

pytestmark = pytest.mark.processes


@contextmanager
def silence() -> Iterator[None]:
    """The server process that answers the agent's parent is stopped; its connection stays open."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name LIKE 'portal agent%'"
        )
        pids = [pid for (pid,) in cursor.fetchall()]
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def test_a_run_goes_on_and_can_still_be_cancelled(stage: Stage) -> None:
    agent = stage.agent()
    run, _ = begun(stage, "in_halves")
    with silence():
        agent.wait_for("no answer within 3 s")
        cancel(run)
        assert stage.ended(run).state_type == "CANCELLED"
    assert FlowRun.objects.get().attempt == 1


def test_an_idle_agent_goes_on_with_another_connection(stage: Stage) -> None:
    stage.agent()
    with silence():
        assert stage.ended(stage.create("quick")).state_type == "COMPLETED"
