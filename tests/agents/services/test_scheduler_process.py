"""`manage.py scheduler` as real processes."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import pairwise
from urllib.parse import urlsplit

import psycopg
import pytest
from django.db import connection

from agents import doorbell
from agents.models import ServiceStatus
from agents.services.database import database_time
from flows.models import Schedule
from runs.models import FlowRun, FlowRunState
from tests.agents.services.builders import make_agent
from tests.factories import lease, make_deployment, make_queue, make_run
from tests.processes import RunningStack, wait_until

pytestmark = pytest.mark.processes

LOOPS = {
    "materialise", "ring", "sweep", "collisions", "late", "pauses", "errands", "planning", "backfills",
    "reap", "slots", "cancellations", "silence", "presence", "rollup", "retention", "house",
}  # fmt: skip


@contextmanager
def postgresql_away(stack: RunningStack) -> Iterator[None]:
    """Nobody gets into the stack's database, and who was in is thrown out."""
    name = urlsplit(stack.database_url).path.lstrip("/")
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as administrator:

        def allow(yes: bool) -> None:
            administrator.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS {yes}'.encode())

        allow(False)
        administrator.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
        )
        try:
            yield
        finally:
            allow(True)


def test_two_schedulers_make_one_run_per_slot(stack: RunningStack) -> None:
    deployment = make_deployment()
    schedules = [
        Schedule.objects.create(deployment=deployment, interval=timedelta(seconds=1)) for _ in range(20)
    ]

    schedulers = [stack.start("scheduler") for _ in range(2)]
    wait_until(
        lambda: ServiceStatus.objects.filter(name="materialise", last_success__isnull=False).count() == 2
    )

    for schedule in schedules:
        slots = list(
            FlowRun.objects.filter(schedule=schedule).order_by("slot").values_list("slot", flat=True)
        )
        steps = {later - earlier for earlier, later in pairwise(slots) if earlier and later}
        assert steps == {timedelta(seconds=1)}
    assert FlowRunState.objects.count() == FlowRun.objects.count()
    assert all(scheduler.is_alive for scheduler in schedulers)


def test_a_run_is_rung_for_when_it_is_due(stack: RunningStack) -> None:
    queue = make_queue()
    make_agent(queue)
    stack.start("scheduler").wait_for("Scheduler started")
    due = database_time() + timedelta(seconds=2)
    make_run(make_deployment(queue=queue), scheduled_time=due)

    wait_until(lambda: doorbell.rq_queue(queue.id).count)

    assert database_time() >= due


def test_a_dead_agents_run_crashes(stack: RunningStack) -> None:
    scheduler = stack.start("scheduler")
    wait_until(lambda: ServiceStatus.objects.filter(name="reap", last_success__isnull=False).exists())
    run = lease(make_run(), seconds=8)
    FlowRun.objects.filter(id=run.id).update(state_type="RUNNING", state_name="Running")

    wait_until(lambda: FlowRun.objects.get(id=run.id).state_type == "CRASHED")

    assert scheduler.is_alive


def test_sigterm_ends_it_cleanly(stack: RunningStack) -> None:
    scheduler = stack.start("scheduler")
    wait_until(lambda: {status.name for status in ServiceStatus.objects.all()} == LOOPS)

    for _ in range(20):  # impatient people and process groups send more than one
        scheduler.signal(signal.SIGTERM)

    assert scheduler.wait() == 0
    assert scheduler.output.endswith("Scheduler stopped.\n")


def test_it_survives_postgresql_being_away(stack: RunningStack) -> None:
    scheduler = stack.start("scheduler")
    wait_until(lambda: ServiceStatus.objects.filter(name="late", last_success__isnull=False).exists())
    connection.close()

    with postgresql_away(stack):
        scheduler.wait_for("PostgreSQL is not reachable")
    back = scheduler.wait_for("PostgreSQL is not reachable: works again")

    now = database_time()
    wait_until(lambda: ServiceStatus.objects.filter(last_success__gt=now).count() >= 4)
    assert back.count("Trying again") == 1


def test_redis_being_away_costs_no_schedule_its_runs(stack: RunningStack) -> None:
    queue = make_queue()
    make_agent(queue)
    make_run(make_deployment(queue=queue))
    scheduler = stack.start("scheduler", env={"REDIS_URL": "redis://127.0.0.1:1/0"})
    scheduler.wait_for("Redis is not reachable")

    schedule = Schedule.objects.create(deployment=make_deployment(name="hourly"), cron="@hourly")

    wait_until(lambda: FlowRun.objects.filter(schedule=schedule).count() == 3)
    error = wait_until(lambda: ServiceStatus.objects.get(name="sweep").last_error)
    assert error.startswith("ConnectionError")
