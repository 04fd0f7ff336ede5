"""rrules on the clock of a time zone, and what is refused of them."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from flows.catalog.clocks import ScheduleError
from flows.catalog.slots import SlotRule, slots, validate

BERLIN = "Europe/Berlin"


def shown(rrule: str, after: datetime, count: int = 3, zone: str = BERLIN) -> list[str]:
    """The next slots on the zone's clock."""
    start = after.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    found = slots(SlotRule(rrule=rrule, timezone=zone), start, count=count)
    return [f"{slot.astimezone(ZoneInfo(zone)):%y-%m-%d %a %H:%M}" for slot in found]


@pytest.mark.parametrize(
    ("rrule", "expected"),
    [
        ("FREQ=DAILY;BYHOUR=9", ["26-11-22 Sun 09:00", "26-11-23 Mon 09:00", "26-11-24 Tue 09:00"]),
        ("RRULE:FREQ=MONTHLY;BYDAY=-1FR", ["26-11-27 Fri 00:00", "26-12-25 Fri 00:00", "27-01-29 Fri 00:00"]),
        ("FREQ=MINUTELY;INTERVAL=20", ["26-11-22 Sun 00:20", "26-11-22 Sun 00:40", "26-11-22 Sun 01:00"]),
        ("freq=yearly;bymonth=2;bymonthday=29",
         ["28-02-29 Tue 00:00", "32-02-29 Sun 00:00", "36-02-29 Fri 00:00"]),
        ("FREQ=MONTHLY;BYSETPOS=-1;BYDAY=MO,TU,WE,TH,FR",
         ["26-11-30 Mon 00:00", "26-12-31 Thu 00:00", "27-01-29 Fri 00:00"]),
        ("DTSTART:20200131T080000\nRRULE:FREQ=MONTHLY",
         ["26-12-31 Thu 08:00", "27-01-31 Sun 08:00", "27-03-31 Wed 08:00"]),
        ("DTSTART:20260105T090000\nRRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=MO\nEXDATE:20261207T090000",
         ["26-11-23 Mon 09:00", "26-12-21 Mon 09:00", "27-01-04 Mon 09:00"]),
        ("DTSTART:20261124T050000Z\nRRULE:FREQ=DAILY;UNTIL=20261125T235959Z",
         ["26-11-24 Tue 06:00", "26-11-25 Wed 06:00"]),
        ("DTSTART;TZID=Europe/Berlin:20261124T050000\nRRULE:FREQ=DAILY;UNTIL=20261125",
         ["26-11-24 Tue 05:00", "26-11-25 Wed 05:00"]),
    ],
)  # fmt: skip
def test_the_next_times(rrule: str, expected: list[str]) -> None:
    assert shown(rrule, datetime(2026, 11, 22)) == expected


@pytest.mark.parametrize(
    ("rrule", "day", "expected"),
    [
        # In Berlin the clock jumps from 02:00 to 03:00 in March, and falls from 03:00 to 02:00 in October.
        ("FREQ=DAILY;BYHOUR=2;BYMINUTE=30", datetime(2026, 3, 29), ["03:00"]),
        ("FREQ=DAILY;BYHOUR=2;BYMINUTE=30", datetime(2026, 10, 25), ["02:30"]),
        ("FREQ=HOURLY;BYHOUR=1,2,3", datetime(2026, 3, 29), ["01:00", "03:00"]),
        ("FREQ=HOURLY;BYHOUR=1,2,3", datetime(2026, 10, 25), ["01:00", "02:00", "02:00", "03:00"]),
    ],
)
def test_the_change_of_the_clocks(rrule: str, day: datetime, expected: list[str]) -> None:
    start = day.replace(tzinfo=ZoneInfo(BERLIN)).astimezone(UTC)
    found = slots(SlotRule(rrule=rrule, timezone=BERLIN), start, until=start + timedelta(hours=22))

    assert [f"{slot.astimezone(ZoneInfo(BERLIN)):%H:%M}" for slot in found] == expected


def test_an_interval_of_days_keeps_its_time_on_the_clock() -> None:
    anchor = datetime(2026, 3, 1, 9, tzinfo=ZoneInfo(BERLIN))
    weekly = SlotRule(interval=timedelta(weeks=1), anchor=anchor, timezone=BERLIN)
    hourly = SlotRule(interval=timedelta(hours=1), anchor=anchor, timezone=BERLIN)

    found = [slot.astimezone(ZoneInfo(BERLIN)) for slot in slots(weekly, anchor, count=10)]
    steps = list(slots(hourly, anchor, count=1000))

    assert {(slot.weekday(), slot.hour) for slot in found} == {(6, 9)}
    assert steps[-1] - steps[0] == timedelta(hours=999)


def test_day_and_weekday_may_both_have_to_fit() -> None:
    friday_13th = SlotRule(cron="0 0 13 * 5", day_or=False)

    found = [
        slot.date().isoformat() for slot in slots(friday_13th, datetime(2026, 1, 1, tzinfo=UTC), count=4)
    ]

    assert found == ["2026-02-13", "2026-03-13", "2026-11-13", "2027-08-13"]
    with pytest.raises(ScheduleError, match="never happens"):
        validate(SlotRule(cron="0 0 1 * 5#3", day_or=False))


@pytest.mark.parametrize(
    ("rrule", "says"),
    [
        ("FREQ=SECONDLY", "would flood the queue; use an interval"),
        ("FREQ=DAILY;BYSECOND=0,30", "30 s apart"),
        ("FREQ=DAILY;COUNT=3", "end it by UNTIL"),
        ("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", "never happens"),
        ("FREQ=MINUTELY;BYWEEKNO=53;BYMONTH=6", "never happens"),
        ("FREQ=DAILY;INTERVAL=7;BYDAY=TH", "never happens"),
        ("FREQ=HOURLY;INTERVAL=24;BYHOUR=3", "cannot be used"),
        ("FREQ=MINUTELY;BYSETPOS=4", "BYSETPOS needs FREQ=DAILY"),
        ("FREQ=DAILY;INTERVAL=0", "INTERVAL must be a number from 1"),
        ("FREQ=DAILY;INTERVAL=9999999999999", "INTERVAL must be a number from 1"),
        ("FREQ=DAILY;BYDAY=XX", "invalid 'BYDAY': XX"),
        ("FREQ=DAILY;BYHOUR=77", "hour must be in"),
        ("FREQ=FORTNIGHTLY", "FREQ must be one of YEARLY"),
        ("BYDAY=MO", "FREQ must be one of"),
        ("nonsense", "'NONSENSE' is not one of"),
        ("FREQ=DAILY\nRRULE:FREQ=WEEKLY", "there may be one RRULE"),
        ("RDATE:20200101\nRRULE:FREQ=DAILY", "is not known here"),
        ("DTSTART:yesterday\nRRULE:FREQ=DAILY", "is not a time such as"),
        ("DTSTART:00010101T000000\nRRULE:FREQ=DAILY", "DTSTART must lie between"),
        ("DTSTART;TZID=Asia/Tokyo:20200101T000000\nRRULE:FREQ=DAILY", "TZID is not the schedule's time zone"),
        ("FREQ=DAILY;UNTIL=soon", "is not a time such as"),
        ("FREQ=DAILY;" + "X" * 7000, "6500 is the most"),
    ],
)
def test_a_bad_rrule_is_explained(rrule: str, says: str) -> None:
    with pytest.raises(ScheduleError, match=says):
        validate(SlotRule(rrule=rrule, timezone=BERLIN))
