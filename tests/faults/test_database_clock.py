"""The clock of the database, by which all decisions are made, jumps by an hour: forward, or back."""

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
    """As if the machine had stood still for an hour, or its clock had been an hour fast.

    Leases end an hour before or after they were to; nobody is ended, or waited for, because of that.
    """
    scheduler = stage.stack.start("scheduler")
    began = database_time()
    dies = stage.agent()
    lost = running(stage, "unlucky")
    lives = stage.agent()
    kept = running(stage, "hold")
    reaper_has_worked_since(began + LEASE + GAP)

    machine = [scheduler.pid, lives.pid, *horses(kept)]
    send(signal.SIGSTOP, *machine)
    dies.kill()
    clock.set(ahead)
    send(signal.SIGCONT, *machine)
    stage.agent()

    stage.started(lost, timeout=60)
    stage.go()
    ends = [(stage.ended(run).state_type, run.attempt) for run in (kept, lost)]
    assert ends == [("COMPLETED", 1), ("COMPLETED", 2)]


def horses(run: FlowRun) -> list[int]:
    return [
        int(pid) for pid in FlowRun.objects.filter(id=run.id).values_list("infrastructure_pid", flat=True)
    ]


def send(number: int, *pids: int) -> None:
    for pid in pids:
        os.kill(pid, number)


def reaper_has_worked_since(moment: datetime) -> None:
    """Wait until the reaper has ticked for long enough to be believed."""
    worked = ServiceStatus.objects.filter(name="reap", last_success__gt=moment)
    wait_until(worked.exists, timeout=60, what="the reaper has worked for a lease")
