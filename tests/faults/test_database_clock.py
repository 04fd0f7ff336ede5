"""The clock of the database, by which all decisions are made, is set forward or back by an hour."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from agents.models import ServiceStatus
from agents.services.database import database_time
from agents.services.steadiness import GAP, LEASE
from runs.models import FlowRun
from tests.faults.conftest import Stage
from tests.faults.database_clock import DatabaseClock
from tests.processes import wait_until

pytestmark = pytest.mark.processes

HOUR = timedelta(hours=1)


@pytest.fixture
def clock(stage: Stage) -> Iterator[DatabaseClock]:
    clock = DatabaseClock()
    yield clock
    clock.close()


def running(stage: Stage, flow: str) -> FlowRun:
    run = stage.create(flow)
    stage.started(run)
    wait_until(lambda: FlowRun.objects.filter(id=run.id, state_type="RUNNING").exists(), what="it runs")
    return run


def reaper_is_trusted_again(since: datetime) -> None:
    """Wait until the reaper has worked for so long that it ends whatever it takes for dead."""
    trusted = since + LEASE + 2 * GAP
    worked = ServiceStatus.objects.filter(
        name="reap", last_success__gt=trusted, last_success__lt=trusted + HOUR / 2
    )
    wait_until(worked.exists, timeout=60, what="the reaper has worked for a lease")


@pytest.mark.parametrize("ahead", [HOUR, -HOUR], ids=["forward", "back"])
def test_a_run_whose_agent_lives_goes_on(stage: Stage, clock: DatabaseClock, ahead: timedelta) -> None:
    stage.stack.start("scheduler").wait_for("Scheduler started")
    stage.agent()
    run = running(stage, "hold")

    clock.set(ahead)

    reaper_is_trusted_again(database_time())
    stage.go()
    assert stage.ended(run).state_type == "COMPLETED"
    assert run.attempt == 1
    assert stage.ended(stage.create("quick")).state_type == "COMPLETED"


@pytest.mark.parametrize("ahead", [HOUR, -HOUR], ids=["forward", "back"])
def test_a_run_whose_agent_was_killed_is_taken_over(
    stage: Stage, clock: DatabaseClock, ahead: timedelta
) -> None:
    """Its lease ends an hour after or before the time at which it was to end; nobody waits for that."""
    stage.stack.start("scheduler").wait_for("Scheduler started")
    agent = stage.agent()
    run = running(stage, "unlucky")
    agent.kill()

    clock.set(ahead)
    stage.agent()

    stage.started(run, timeout=60)
    stage.go()
    assert (stage.ended(run).state_type, run.attempt) == ("COMPLETED", 2)
