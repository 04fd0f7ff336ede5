"""Calendars: when nothing runs, and what becomes of the slots then."""

from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from flows.catalog.calendars import check_calendar, open_times
from flows.catalog.clocks import ScheduleError
from flows.catalog.occurrences import Occurrence, Plan, between, check_plan, newest, occurrences
from flows.catalog.preview import preview
from flows.catalog.slots import SlotRule
from flows.models import Calendar

BERLIN = ZoneInfo("Europe/Berlin")
FRIDAY = datetime(2026, 12, 18, tzinfo=UTC)
NIGHTS = {"from": "22:00", "to": "04:00", "weekdays": [5], "reason": "backup"}


def calendar(**fields: Any) -> Calendar:
    return Calendar(**{"name": "bank", "timezone": "Europe/Berlin"} | fields)


BANK = calendar(weekdays=[1, 2, 3, 4, 5], holidays=[date(2026, 12, 25)])


def plan(cron: str, of: Calendar = BANK, moves: bool = False) -> Plan:
    return Plan(SlotRule(cron=cron, timezone="Europe/Berlin"), open_times(of), moves)


def clock(moment: datetime | None) -> str:
    return f"{moment.astimezone(BERLIN):%a %d %H:%M}" if moment else "-"


def outcome(found: list[Occurrence]) -> list[tuple[str, str]]:
    return [(clock(each.slot), clock(each.at)) for each in found]


def test_weekends_and_holidays_are_skipped() -> None:
    found = list(islice(occurrences(plan("0 6 * * *"), FRIDAY + timedelta(days=5)), 7))

    assert outcome(found) == [
        ("Wed 23 06:00", "Wed 23 06:00"), ("Thu 24 06:00", "Thu 24 06:00"), ("Fri 25 06:00", "-"),
        ("Sat 26 06:00", "-"), ("Sun 27 06:00", "-"), ("Mon 28 06:00", "Mon 28 06:00"),
        ("Tue 29 06:00", "Tue 29 06:00"),
    ]  # fmt: skip
    assert found[2].reason == "2026-12-25 is a holiday in 'bank'"
    assert found[3].reason == "Saturday does not count in 'bank'"


def test_the_last_of_those_that_come_to_one_moment_is_moved() -> None:
    found = list(islice(occurrences(plan("0 6 * * *", moves=True), FRIDAY), 4))

    assert outcome(found) == [
        ("Fri 18 06:00", "Fri 18 06:00"), ("Sat 19 06:00", "-"), ("Sun 20 06:00", "Mon 21 00:00"),
        ("Mon 21 06:00", "Mon 21 06:00"),
    ]  # fmt: skip
    assert found[1].reason.endswith("the slot of 2026-12-20 05:00 UTC runs instead")


def test_a_slot_at_the_very_end_takes_the_moved_ones_place() -> None:
    found = list(islice(occurrences(plan("0 0 * * *", moves=True), FRIDAY), 3))

    assert outcome(found)[-3:] == [
        ("Sat 19 00:00", "-"),
        ("Sun 20 00:00", "-"),
        ("Mon 21 00:00", "Mon 21 00:00"),
    ]


@pytest.mark.parametrize(
    ("blackout", "moment", "until"),
    [
        (NIGHTS, "2026-12-18T22:00", "Sat 19 04:00"),
        (NIGHTS, "2026-12-19T03:59", "Sat 19 04:00"),
        (NIGHTS, "2026-12-19T04:00", "-"),
        (NIGHTS, "2026-12-19T22:30", "-"),
        ({"from": "12:00", "to": "13:00"}, "2026-12-19T12:30", "Sat 19 13:00"),
        ({"from": "2026-12-24T18:00", "to": "2026-12-27T06:00"}, "2026-12-26T00:00", "Sun 27 06:00"),
        # The end of the window is skipped by the clock, and repeated.
        ({"from": "01:00", "to": "02:30"}, "2026-03-29T01:30", "Sun 29 03:00"),
        ({"from": "01:00", "to": "02:30"}, "2026-10-25T02:10", "Sun 25 02:30"),
    ],
)  # fmt: skip
def test_blackouts(blackout: dict[str, Any], moment: str, until: str) -> None:
    asked = datetime.fromisoformat(moment).replace(tzinfo=BERLIN)

    closed = open_times(calendar(blackouts=[blackout])).closed(asked)

    assert clock(closed[0] if closed else None) == until


def test_a_window_that_the_clock_repeats_ends_after_all() -> None:
    times = open_times(calendar(blackouts=[{"from": "01:00", "to": "02:30"}]))
    second_0210 = datetime(2026, 10, 25, 2, 10, tzinfo=BERLIN, fold=1)

    opened = times.next_open(second_0210.astimezone(UTC))

    assert opened == datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1).astimezone(UTC)


def test_a_rule_by_the_minute_may_be_made_on_a_saturday() -> None:
    """None of its next thousand slots is allowed, and yet it has some every week."""
    saturday = FRIDAY + timedelta(days=1)

    check_plan(plan("* * * * *"), saturday)


def test_what_was_moved_runs_at_its_later_moment() -> None:
    saturday, sunday, monday = (FRIDAY + timedelta(days=n) for n in (1, 2, 3))
    moved = plan("0 6 * * *", moves=True)

    assert outcome(list(between(moved, sunday + timedelta(hours=12), monday))) == [
        ("Sun 20 06:00", "Mon 21 00:00")
    ]
    assert list(between(moved, saturday, sunday)) == []


def test_the_newest_are_found_at_once_after_a_long_outage() -> None:
    minutely = plan("* * * * *")

    found = newest(minutely, FRIDAY - timedelta(days=300), FRIDAY + timedelta(days=2), 2)

    assert outcome(found) == [("Fri 18 23:58", "Fri 18 23:58"), ("Fri 18 23:59", "Fri 18 23:59")]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"weekdays": []}, "at least one"),
        ({"weekdays": [0]}, "from 1 .Monday. to 7"),
        ({"weekdays": [True]}, "Weekdays are numbers"),
        ({"timezone": "Mars/Base"}, "is not a time zone"),
        ({"blackouts": {}}, "list of at most 200"),
        ({"blackouts": [1]}, "A blackout has from, to"),
        ({"blackouts": [{"from": "22:00"}]}, "A blackout has from, to"),
        ({"blackouts": [{"from": "22:00", "to": "4"}]}, "neither a time of day nor a date"),
        ({"blackouts": [{"from": "22:00", "to": "2026-12-24T18:00"}]}, "two dates or between two times"),
        ({"blackouts": [{"from": "2026-12-24T18:00", "to": "2026-12-24T18:00"}]}, "ends after it begins"),
        ({"blackouts": [{"from": "00:00", "to": "00:00"}]}, "leaves no moment in the next 400 days"),
        ({"blackouts": [{"from": "2000-01-01T00:00", "to": "2100-01-01T00:00"}]}, "leaves no moment"),
        ({"blackouts": [NIGHTS | {"reason": 1}]}, "The reason"),
        ({"holidays": [date(2026, 1, 1)] * 2001}, "at most 2000 holidays"),
    ],
)  # fmt: skip
def test_a_bad_calendar_is_explained(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ScheduleError, match=says):
        check_calendar(calendar(**fields), FRIDAY)


def test_a_schedule_of_which_the_calendar_leaves_nothing_is_refused() -> None:
    with pytest.raises(ScheduleError, match=r"leaves nothing of this schedule.*Saturday does not count"):
        check_plan(plan("0 6 * * 6"), FRIDAY)
    check_plan(plan("0 6 * * 6", moves=True), FRIDAY)


def test_the_preview_says_what_is_skipped_moved_or_odd() -> None:
    autumn = datetime(2026, 10, 24, tzinfo=UTC)
    hourly = Plan(SlotRule(cron="30 */1 * * *", timezone="Europe/Berlin"))
    spring = preview(plan("30 2 * * *", calendar()), datetime(2026, 3, 28, tzinfo=UTC), 3)

    assert [each.remark for each in preview(hourly, autumn, 40) if each.remark] == [
        "first time that the clock shows 02:30 on this day",
        "second time that the clock shows 02:30 on this day",
    ]
    assert [each.clock[:20] for each in spring] == [
        "Sat 2026-03-28 02:30", "Sun 2026-03-29 03:00", "Mon 2026-03-30 02:30",
    ]  # fmt: skip
    assert spring[1].remark == "the clock is put forward: 02:00 to 03:00 do not exist"
    moved = preview(plan("0 6 * * *", moves=True), FRIDAY + timedelta(hours=12), 2)
    assert [(each.at is None, each.is_moved) for each in moved] == [(True, False), (False, True)]
