"""The clock of the database, by which all decisions are made, is set forward or back by an hour."""

import os
import signal
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


@pytest.mark.parametrize("ahead", [HOUR, -HOUR], ids=["forward", "back"])
def test_who_lives_keeps_its_run_and_who_is_dead_loses_it(
    stage: Stage, clock: DatabaseClock, ahead: timedelta
) -> None:
    """Leases end an hour after or before they were to; nobody is ended, or waited for, because of that."""
    stage.stack.start("scheduler").wait_for("Scheduler started")
    agent = stage.agent()
    lost = running(stage, "unlucky")
    stage.agent()
    kept = running(stage, "hold")
    agent.kill()

    clock.set(ahead)
    stage.agent()

    stage.started(lost, timeout=60)
    stage.go()
    assert [(stage.ended(run).state_type, run.attempt) for run in (kept, lost)] == [
        ("COMPLETED", 1),
        ("COMPLETED", 2),
    ]


def test_a_machine_that_stands_still_for_a_minute_loses_no_run(stage: Stage, clock: DatabaseClock) -> None:
    """When it goes on, a minute has passed for the clock and for nobody's process."""
    scheduler, agent = stage.stack.start("scheduler"), stage.agent()
    scheduler.wait_for("Scheduler started")
    run = stage.create("hold")
    machine = [scheduler.pid, agent.pid, stage.started(run)]
    reaper_has_worked_since(database_time() + LEASE)

    for pid in machine:
        os.kill(pid, signal.SIGSTOP)
    clock.set(timedelta(minutes=1))
    for pid in machine:
        os.kill(pid, signal.SIGCONT)

    reaper_has_worked_since(database_time() + LEASE + GAP)
    stage.go()
    assert (stage.ended(run).state_type, run.attempt) == ("COMPLETED", 1)


def reaper_has_worked_since(moment: datetime) -> None:
    worked = ServiceStatus.objects.filter(name="reap", last_success__gt=moment)
    wait_until(worked.exists, timeout=60, what="the reaper has worked for long enough to be believed")
