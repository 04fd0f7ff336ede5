"""Schedules with a calendar: what it forbids is left out or put off, and still runs once."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agents.services.materialise import Materialiser
from flows.models import Calendar, Schedule
from runs.models import FlowRun
from tests.agents.services.builders import make_schedule
from tests.factories import default_workspace

pytestmark = pytest.mark.django_db

FRIDAY = datetime(2031, 6, 6, 12, tzinfo=UTC)
DAY = timedelta(days=1)
MONDAY = datetime(2031, 6, 9, tzinfo=UTC)


def weekdays(**fields: Any) -> Calendar:
    made: Calendar = Calendar.objects.create(
        workspace=default_workspace(), name="bank", **{"weekdays": [1, 2, 3, 4, 5]} | fields
    )
    return made


def due(schedule: Schedule) -> list[str]:
    """Slot and due time of each run, as day and hour."""
    runs = FlowRun.objects.filter(schedule=schedule).order_by("slot")
    return [f"{run.slot:%d}>{run.expected_start_time:%d %H}" for run in runs]


def born(schedule: Schedule, when: datetime) -> Schedule:
    Schedule.objects.filter(id=schedule.id).update(created=when)
    return schedule


def test_forbidden_slots_are_left_out() -> None:
    schedule = make_schedule(cron="0 6 * * *", calendar=weekdays())

    Materialiser().step(FRIDAY)

    assert due(schedule) == ["09>09 06", "10>10 06", "11>11 06"]


def test_or_one_of_them_is_put_off() -> None:
    schedule = make_schedule(cron="0 6 * * *", calendar=weekdays(), calendar_policy="move")

    Materialiser().step(FRIDAY)

    assert due(schedule) == ["08>09 00", "09>09 06", "10>10 06"]


def test_what_is_put_off_is_made_once_and_stays_when_its_slot_has_passed() -> None:
    schedule = born(make_schedule(cron="0 6 * * *", calendar=weekdays(), calendar_policy="move"), FRIDAY)
    materialiser = Materialiser()
    materialiser.step(FRIDAY)
    first = FlowRun.objects.get(slot=MONDAY - 18 * timedelta(hours=1))

    for hours in range(0, 60, 5):
        materialiser.step(FRIDAY + timedelta(hours=hours))
        Materialiser().step(FRIDAY + timedelta(hours=hours))

    assert FlowRun.objects.get(slot=first.slot).id == first.id
    assert due(schedule)[0] == "08>09 00"


def test_a_schedule_that_begins_on_a_forbidden_day_owes_nothing_of_before() -> None:
    sunday = MONDAY - timedelta(hours=3)
    schedule = born(make_schedule(cron="0 6 * * *", calendar=weekdays(), calendar_policy="move"), sunday)

    Materialiser().step(sunday)

    assert due(schedule) == ["09>09 06", "10>10 06", "11>11 06"]


@pytest.mark.parametrize("policy", ["skip", "move"])
def test_coming_runs_follow_a_changed_calendar(policy: str) -> None:
    calendar = weekdays()
    schedule = make_schedule(cron="0 6 * * 1-5", calendar=calendar, calendar_policy=policy)
    materialiser = Materialiser()
    materialiser.step(FRIDAY)

    calendar.holidays = [MONDAY.date()]
    calendar.save()
    materialiser.step(FRIDAY + timedelta(seconds=5))

    moved = ["09>10 00", "10>10 06", "11>11 06"]
    assert due(schedule) == (moved if policy == "move" else ["10>10 06", "11>11 06", "12>12 06"])


def test_a_run_that_was_put_off_by_hand_keeps_its_time() -> None:
    schedule = make_schedule(cron="0 6 * * *", calendar=weekdays(), calendar_policy="move")
    Materialiser().step(FRIDAY)
    FlowRun.objects.filter(slot=MONDAY + timedelta(hours=6)).update(
        expected_start_time=MONDAY + timedelta(hours=9), version=2
    )

    Materialiser().step(FRIDAY + timedelta(seconds=5))

    assert due(schedule) == ["08>09 00", "09>09 09", "10>10 06"]


def test_runs_that_were_put_off_go_with_their_schedule() -> None:
    schedule = born(make_schedule(cron="0 6 * * *", calendar=weekdays(), calendar_policy="move"), FRIDAY)
    Materialiser().step(FRIDAY)

    schedule.active = False
    schedule.save()
    Materialiser().step(MONDAY - timedelta(hours=1))

    assert due(schedule) == []


def test_a_calendar_that_closes_for_long_leaves_room_for_the_time_after() -> None:
    closed = weekdays(blackouts=[{"from": "2031-06-06T13:00", "to": "2031-06-09T08:30"}])
    schedule = make_schedule(interval=timedelta(minutes=1), calendar=closed)
    materialiser = Materialiser()

    materialiser.step(FRIDAY)
    before = [run.slot for run in FlowRun.objects.filter(schedule=schedule)]
    materialiser.step(MONDAY + timedelta(hours=8, minutes=20))

    assert all(slot < FRIDAY + timedelta(hours=1) for slot in before) and len(before) == 59
    first = FlowRun.objects.filter(schedule=schedule, slot__gt=MONDAY).order_by("slot")[0]
    assert first.slot == MONDAY + timedelta(hours=8, minutes=30)
