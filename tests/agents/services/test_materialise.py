"""Schedules become runs ahead of time, once per slot."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zlib import crc32
from zoneinfo import ZoneInfo

import psycopg
import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from agents.models import ServiceStatus
from agents.services.materialise import Materialiser
from flows.models import Deployment, Schedule
from runs.models import FlowRun
from runs.session import conninfo_of_django
from tests.agents.services.builders import age, make_schedule
from tests.factories import make_deployment, make_run

pytestmark = pytest.mark.django_db

NOON = datetime(2031, 6, 2, 12, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def materialise(now: datetime) -> None:
    """One step of a scheduler that has just started."""
    Materialiser().step(now)


def slots_of(schedule: Schedule) -> list[datetime]:
    return [run.slot for run in FlowRun.objects.filter(schedule=schedule).order_by("slot") if run.slot]


def scheduler_last_worked(when: datetime) -> None:
    ServiceStatus.objects.create(name="materialise", hostname="mill", pid=1, last_success=when)


def test_the_next_three_slots_become_runs() -> None:
    schedule = make_schedule(cron="0 6 * * *", parameters={"day": "today"})

    materialise(NOON)

    first = FlowRun.objects.filter(schedule=schedule).order_by("slot")[0]
    assert slots_of(schedule) == [datetime(2031, 6, day, 6, tzinfo=UTC) for day in (3, 4, 5)]
    assert (first.state_type, first.state_name, first.expected_start_time) == (
        "SCHEDULED",
        "Scheduled",
        first.slot,
    )
    assert first.parameters == {"day": "today"}
    assert first.created_by == {
        "type": "SCHEDULE",
        "id": str(schedule.id),
        "display_value": "0 6 * * * UTC",
    }


def test_a_frequent_schedule_is_made_an_hour_ahead() -> None:
    schedule = make_schedule(interval=10 * MINUTE)

    materialise(NOON)

    assert slots_of(schedule) == [NOON + n * 10 * MINUTE for n in range(1, 7)]


def test_at_most_a_hundred_are_made_ahead() -> None:
    schedule = make_schedule(interval=timedelta(seconds=1))

    materialise(NOON)

    assert len(slots_of(schedule)) == 100


def test_a_schedule_may_want_fewer() -> None:
    schedule = make_schedule(cron="* * * * *", max_scheduled_runs=2)

    materialise(NOON)

    assert slots_of(schedule) == [NOON + MINUTE, NOON + 2 * MINUTE]


def test_a_second_step_makes_nothing_new() -> None:
    schedule = make_schedule(cron="@hourly")
    materialise(NOON)
    before = set(FlowRun.objects.values_list("id", flat=True))

    materialise(NOON + timedelta(seconds=5))

    assert set(FlowRun.objects.filter(schedule=schedule).values_list("id", flat=True)) == before


def test_time_goes_on() -> None:
    schedule = make_schedule(cron="@hourly")

    for hours in range(5):
        materialise(NOON + hours * HOUR)

    assert slots_of(schedule) == [NOON + n * HOUR for n in range(1, 8)]


@pytest.mark.parametrize(("day", "count"), [(datetime(2026, 3, 8), 23), (datetime(2026, 11, 1), 25)])
def test_the_day_on_which_the_clocks_change(day: datetime, count: int) -> None:
    """A whole day of scheduler steps, five minutes apart, on both changes in New York."""
    zone = ZoneInfo("America/New_York")
    hourly = make_schedule(cron="@hourly", timezone=zone.key)
    nightly = make_schedule(cron=f"30 {'2' if count == 23 else '1'} * * *", timezone=zone.key)
    start, end = (moment.replace(tzinfo=zone).astimezone(UTC) for moment in (day, day + timedelta(days=1)))

    materialiser = Materialiser()
    now = start - 5 * MINUTE
    while now < end:
        materialiser.step(now)
        now += 5 * MINUTE

    of_the_day = [slot for slot in slots_of(hourly) if start <= slot < end]
    nights = [slot.astimezone(zone) for slot in slots_of(nightly) if start <= slot < end]
    assert len(of_the_day) == count
    assert all(later - earlier == HOUR for earlier, later in pairwise(of_the_day))
    assert [f"{night:%H:%M %Z}" for night in nights] == ["03:00 EDT" if count == 23 else "01:30 EDT"]


def test_after_an_outage_only_the_latest_missed_slot_is_made_up_for() -> None:
    schedule = make_schedule(cron="@hourly")
    scheduler_last_worked(NOON - timedelta(days=2))

    materialise(NOON + 30 * MINUTE)

    assert slots_of(schedule)[:2] == [NOON, NOON + HOUR]


def test_slots_before_a_change_of_the_schedule_were_not_missed() -> None:
    schedule = make_schedule(cron="@hourly")
    scheduler_last_worked(NOON - timedelta(days=2))
    Schedule.objects.update(updated=NOON + 20 * MINUTE)

    materialise(NOON + 30 * MINUTE)

    assert slots_of(schedule)[0] == NOON + HOUR


def test_without_an_earlier_scheduler_nothing_was_missed() -> None:
    schedule = make_schedule(cron="@hourly")

    materialise(NOON + 30 * MINUTE)

    assert slots_of(schedule)[0] == NOON + HOUR


def test_a_changed_rule_replaces_the_coming_runs() -> None:
    schedule = make_schedule(cron="0 6 * * *")
    materialise(NOON)

    Schedule.objects.update(cron="0 7 * * *")
    materialise(NOON)

    assert [slot.hour for slot in slots_of(schedule)] == [7, 7, 7]


def test_changed_parameters_replace_the_coming_runs() -> None:
    schedule = make_schedule(cron="0 6 * * *", parameters={"n": 1})
    materialise(NOON)
    FlowRun.objects.update(created=timezone.now() - HOUR)

    schedule.parameters = {"n": 2}
    schedule.save()
    materialise(NOON)

    assert [run.parameters for run in FlowRun.objects.all()] == [{"n": 2}] * 3


def deactivate(schedule: Schedule) -> None:
    Schedule.objects.filter(id=schedule.id).update(active=False)


def pause_deployment(schedule: Schedule) -> None:
    Deployment.objects.filter(id=schedule.deployment_id).update(paused=True)


def delete_schedule(schedule: Schedule) -> None:
    schedule.delete()


def delete_deployment(schedule: Schedule) -> None:
    schedule.deployment.delete()


@pytest.mark.parametrize("stop", [deactivate, pause_deployment, delete_schedule, delete_deployment])
def test_coming_runs_go_with_their_schedule(stop: Callable[[Schedule], None]) -> None:
    schedule = make_schedule(cron="0 6 * * *")
    materialise(NOON)

    stop(schedule)
    materialise(NOON)

    assert not FlowRun.objects.exists()


def test_a_resumed_schedule_makes_up_for_nothing() -> None:
    schedule = make_schedule(cron="@hourly", active=False)
    scheduler_last_worked(NOON + 30 * MINUTE)

    Schedule.objects.update(active=True)
    materialise(NOON + 30 * MINUTE)

    assert slots_of(schedule)[0] == NOON + HOUR


def test_runs_made_by_people_stay() -> None:
    deployment = make_deployment(paused=True)
    run = make_run(deployment, scheduled_time=NOON + HOUR)

    materialise(NOON)

    assert FlowRun.objects.filter(id=run.id).exists()


def test_a_cancelled_coming_run_is_not_made_again() -> None:
    schedule = make_schedule(cron="0 6 * * *")
    materialise(NOON)
    FlowRun.objects.filter(slot=slots_of(schedule)[0]).update(state_type="CANCELLED")

    materialise(NOON)

    assert FlowRun.objects.filter(schedule=schedule).count() == 3


def test_one_unreadable_schedule_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    broken = make_schedule(cron="at dawn")
    good = make_schedule(cron="@daily")

    materialise(NOON)
    materialise(NOON)

    assert len(slots_of(good)) == 3
    assert caplog.text.count(str(broken.id)) == 1


def test_only_one_scheduler_works_at_a_time() -> None:
    make_schedule(cron="@daily")
    with psycopg.connect(**conninfo_of_django()) as other:
        key = crc32(b"portal.services.materialise")
        other.execute("SELECT pg_advisory_xact_lock(%s::bigint)", [key])
        materialise(NOON)

    assert not FlowRun.objects.exists()


def test_a_thousand_schedules_cost_few_queries(django_assert_max_num_queries: DjangoAssertNumQueries) -> None:
    deployment = make_deployment()
    Schedule.objects.bulk_create(Schedule(deployment=deployment, cron="0 6 * * *") for _ in range(1000))
    age(Schedule.objects.all()[0])

    with django_assert_max_num_queries(25):
        materialise(NOON)

    assert FlowRun.objects.count() == 3000


def test_settled_schedules_are_only_read(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    make_schedule(cron="@hourly")
    materialiser = Materialiser()
    materialiser.step(NOON)

    # Lock and savepoint, twice: unwanted runs, and one batch. Last tick; schedules, and no more of them.
    with django_assert_num_queries(6 + 1 + 1 + 2):
        materialiser.step(NOON + timedelta(seconds=5))


def test_a_settled_schedule_that_is_changed_is_looked_at_again() -> None:
    schedule = make_schedule(cron="0 6 * * *")
    materialiser = Materialiser()
    materialiser.step(NOON)

    Schedule.objects.update(cron="0 7 * * *")
    materialiser.step(NOON + timedelta(seconds=5))

    assert [slot.hour for slot in slots_of(schedule)] == [7, 7, 7]
