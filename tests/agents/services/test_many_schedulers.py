"""Several scheduler processes on the same schedules: every slot once, whatever happens to one of them."""

import signal
from collections import Counter
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from uuid import uuid4

import pytest

from agents import doorbell
from agents.models import ServiceStatus
from agents.services.database import database_time
from agents.services.scheduler import Scheduler
from flows.models import Schedule
from runs.models import FlowRun
from tests.agents.services.builders import make_agent
from tests.factories import make_deployment, make_queue, make_run
from tests.processes import RunningStack, wait_until

pytestmark = pytest.mark.processes

SECOND = timedelta(seconds=1)
# Read by Python at its start: this process believes that it is another hour.
SHIFTED = """
import datetime, time_machine
there = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours={hours})
time_machine.travel(there, tick=True).start()
"""


def make_schedules(count: int) -> list[Schedule]:
    deployment = make_deployment(name=f"d-{uuid4().hex[:8]}")
    return [Schedule.objects.create(deployment=deployment, interval=SECOND) for _ in range(count)]


def materialised() -> int:
    return ServiceStatus.objects.filter(name="materialise", last_success__isnull=False).count()


def have_runs(schedules: list[Schedule]) -> bool:
    """Whether each has runs ahead."""
    there = FlowRun.objects.filter(schedule__in=schedules, slot__gte=database_time())
    return len(set(there.values_list("schedule_id", flat=True))) == len(schedules)


def assert_each_slot_once(schedules: list[Schedule]) -> None:
    for schedule in schedules:
        runs = FlowRun.objects.filter(schedule=schedule).order_by("slot")
        slots = [slot for slot in runs.values_list("slot", flat=True) if slot]
        assert {later - earlier for earlier, later in pairwise(slots)} == {SECOND}
        assert max(Counter(slots).values()) == 1


def test_three_schedulers_of_which_one_is_paused(stack: RunningStack) -> None:
    schedules = make_schedules(20)
    schedulers = [stack.start("scheduler") for _ in range(3)]
    wait_until(lambda: materialised() == 3)

    schedulers[0].signal(signal.SIGSTOP)
    stopped_at = database_time()
    schedules += make_schedules(10)
    wait_until(lambda: have_runs(schedules), what="the other two go on")
    schedulers[0].signal(signal.SIGCONT)
    wait_until(
        lambda: ServiceStatus.objects.filter(
            pid=schedulers[0].pid, name="materialise", last_success__gt=stopped_at
        ).exists(),
        what="the paused one works again",
    )

    assert_each_slot_once(schedules)
    assert all(scheduler.is_alive for scheduler in schedulers)


def test_one_that_stops_in_the_middle_of_a_step_does_not_hold_up_the_others(stack: RunningStack) -> None:
    """It holds the lock of its step; PostgreSQL takes it away."""
    schedules = make_schedules(1)
    holder = stack.start("shell", "-c", HOLD)
    holder.wait_for("holding")
    holder.signal(signal.SIGSTOP)
    stack.start("scheduler").wait_for("Scheduler started")

    wait_until(lambda: have_runs(schedules), what="the lock was taken away")

    holder.signal(signal.SIGCONT)
    holder.wait_for("lost it")


HOLD = """
import time
from django.db import DatabaseError, connection
from agents.services.database import alone
try:
    with alone("materialise") as mine:
        print("holding" if mine else "not mine", flush=True)
        time.sleep(5)
        connection.cursor().execute("SELECT 1")
except DatabaseError:
    print("lost it", flush=True)
"""


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_scheduler_whose_own_clock_is_wrong(stack: RunningStack, tmp_path: Path, hours: int) -> None:
    (tmp_path / "sitecustomize.py").write_text(SHIFTED.format(hours=hours))
    schedules = make_schedules(3)

    stack.start("scheduler", env={"PYTHONPATH": str(tmp_path)}).wait_for("Scheduler started")
    began = database_time()
    wait_until(lambda: have_runs(schedules))

    assert_each_slot_once(schedules)
    first = FlowRun.objects.order_by("slot")[0].slot
    assert first is not None and abs(first - began) < 15 * SECOND


def test_a_run_that_is_made_for_a_moment_ahead_is_rung_for_in_time(stack: RunningStack) -> None:
    """The alarm wakes the ringer: no loop would look again by itself."""
    scheduler, queue = Scheduler(), make_queue()
    for loop in scheduler.loops:
        loop.every = 3600.0
    scheduler.start()
    try:
        wait_until(lambda: all(loop.outcome.last_success for loop in scheduler.loops), what="all wait")
        deployment, _ = make_deployment(queue=queue), make_agent(queue)
        for _ in range(3):
            run = make_run(deployment, scheduled_time=database_time() + timedelta(milliseconds=120))
            wait_until(lambda: doorbell.rq_queue(queue.id).count, what="a ring")
            FlowRun.objects.filter(id=run.id).delete()
            doorbell.rq_queue(queue.id).empty()
    finally:
        scheduler.stop()
