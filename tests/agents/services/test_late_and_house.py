"""Late runs get their name; stale rows go."""

from datetime import timedelta

import pytest
from django.db import connection

from agents.models import Agent, ServiceStatus, Worker
from agents.services.database import database_time
from agents.services.housekeeping import keep_house
from agents.services.late import mark_late
from flows.sdk.states import AwaitingRetry
from runs.models import FlowRun
from runs.session import DjangoSession
from runs.transition import transition
from tests.agents.services.builders import make_agent, report_success
from tests.factories import make_queue, make_run

pytestmark = pytest.mark.django_db


def test_a_run_is_late_after_15_seconds() -> None:
    now = database_time()
    run = make_run(scheduled_time=now)
    due = run.expected_start_time

    mark_late(now + timedelta(seconds=14))
    run.refresh_from_db()
    before = run.state_name
    mark_late(now + timedelta(seconds=15))

    run.refresh_from_db()
    assert (before, run.state_type, run.state_name) == ("Scheduled", "SCHEDULED", "Late")
    assert run.expected_start_time == due
    assert list(run.states.order_by("timestamp").values_list("name", flat=True)) == ["Scheduled", "Late"]


def test_a_run_that_awaits_its_retry_keeps_that_name() -> None:
    run, now = make_run(), database_time()
    transition(DjangoSession(), run.id, AwaitingRetry(now))

    mark_late(now + timedelta(minutes=1))

    run.refresh_from_db()
    assert run.state_name == "AwaitingRetry"


def test_partitions_are_made_a_week_ahead() -> None:
    day = database_time() + timedelta(days=400)

    keep_house(day)

    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s)", [f"runs_log_{day + timedelta(days=7):%Y%m%d}"])
        assert cursor.fetchone() != (None,)


def test_agents_that_left_without_a_trace_are_forgotten() -> None:
    week = timedelta(days=7)
    make_agent(name="idle", seen=week)
    make_agent(name="online")
    worked = make_agent(name="worked", seen=week)
    FlowRun.objects.filter(id=make_run().id).update(agent=worked)

    keep_house(database_time())

    assert set(Agent.objects.values_list("name", flat=True)) == {"online", "worked"}


def test_statuses_of_ended_schedulers_are_forgotten_after_a_month() -> None:
    report_success("sweep", ago=timedelta(days=31))
    report_success("late", ago=timedelta(days=29))
    report_success("reap")

    keep_house(database_time())

    assert sorted(status.name for status in ServiceStatus.objects.all()) == ["late", "reap"]


def test_the_last_status_says_for_ever_since_when_no_scheduler_ran() -> None:
    """A scheduler that comes back after two months reads it, while this loop of it is at work, too."""
    report_success("materialise", ago=timedelta(days=60))

    keep_house(database_time())

    assert ServiceStatus.objects.filter(name="materialise").exists()


def test_workers_that_are_not_heard_of_any_more_are_forgotten() -> None:
    now = database_time()
    pool = make_queue(pool="remote").work_pool
    for name, hours in (("gone", 25), ("resting", 23)):
        heard = now - timedelta(hours=hours)
        Worker.objects.create(work_pool=pool, name=name, last_heartbeat_time=heard)

    keep_house(now)

    assert list(Worker.objects.values_list("name", flat=True)) == ["resting"]
