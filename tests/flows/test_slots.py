"""Slots: cron on the clock of a time zone, intervals in UTC."""

from datetime import UTC, date, datetime, time, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.catalog.slots import (
    ScheduleError,
    SlotRule,
    latest_slot,
    slots,
    validate_cron,
    validate_interval,
    validate_timezone,
)

ZONES = st.sampled_from(
    ["UTC", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Havana"]
)
INSTANTS = st.datetimes(datetime(2015, 1, 1), datetime(2037, 1, 1), timezones=st.just(UTC))


def local(cron: str, zone: str, start: datetime, hours: int) -> list[str]:
    """The slots within some hours of `start` (local), printed on the zone's clock with its offset."""
    after = start.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    found = slots(SlotRule(cron=cron, timezone=zone), after, until=after + timedelta(hours=hours))
    return [slot.astimezone(ZoneInfo(zone)).strftime("%H:%M%z") for slot in found]


@pytest.mark.parametrize(
    ("zone", "day", "cron", "expected"),
    [
        # The clock jumps from 02:00 to 03:00 (Lord Howe: to 02:30).
        ("America/New_York", (2026, 3, 8), "30 2 * * *", ["03:00-0400"]),
        ("Europe/Berlin", (2026, 3, 29), "30 2 * * *", ["03:00+0200"]),
        ("Australia/Lord_Howe", (2026, 10, 4), "15 2 * * *", ["02:30+1100"]),
        ("America/New_York", (2026, 3, 8), "0,30 2,3 * * *", ["03:00-0400", "03:30-0400"]),
        ("Australia/Lord_Howe", (2026, 10, 4), "*/15 2 * * *", ["02:30+1100", "02:45+1100"]),
        ("Australia/Lord_Howe", (2026, 10, 4), "*/30 3 * * *", ["03:00+1100", "03:30+1100"]),
        # The clock falls back from 02:00 to 01:00 (Berlin: 03:00 to 02:00; Lord Howe: 02:00 to 01:30).
        ("America/New_York", (2026, 11, 1), "30 1 * * *", ["01:30-0400"]),
        ("Europe/Berlin", (2026, 10, 25), "30 2 * * *", ["02:30+0200"]),
        ("Australia/Lord_Howe", (2026, 4, 5), "45 1 * * *", ["01:45+1100"]),
        ("America/New_York", (2026, 11, 1), "*/30 1 * * *",
         ["01:00-0400", "01:30-0400", "01:00-0500", "01:30-0500"]),
        ("Australia/Lord_Howe", (2026, 4, 5), "*/15 1 * * *",
         ["01:00+1100", "01:15+1100", "01:30+1100", "01:45+1100", "01:30+1030", "01:45+1030"]),
    ],
)  # fmt: skip
def test_change_of_the_clocks(zone: str, day: tuple[int, int, int], cron: str, expected: list[str]) -> None:
    assert local(cron, zone, datetime(*day) - timedelta(minutes=1), 23) == expected


@pytest.mark.parametrize(
    ("day", "hours"), [(datetime(2026, 3, 8), 23), (datetime(2026, 11, 1), 25), (datetime(2026, 6, 1), 24)]
)
def test_hourly_follows_the_length_of_the_day(day: datetime, hours: int) -> None:
    zone = ZoneInfo("America/New_York")
    start, end = (moment.replace(tzinfo=zone).astimezone(UTC) for moment in (day, day + timedelta(days=1)))
    found = list(slots(SlotRule(cron="@hourly", timezone=zone.key), start - timedelta(seconds=1), until=end))

    assert len(found) - 1 == hours
    assert {later - earlier for earlier, later in pairwise(found)} == {timedelta(hours=1)}


def test_a_fixed_time_is_not_repeated_when_asked_in_the_repeated_hour() -> None:
    zone = ZoneInfo("America/New_York")
    second_0110 = datetime(2026, 11, 1, 1, 10, tzinfo=zone, fold=1)

    following = next(slots(SlotRule(cron="30 1 * * *", timezone=zone.key), second_0110))

    assert following.astimezone(zone) == datetime(2026, 11, 2, 1, 30, tzinfo=zone)


@given(zone=ZONES, after=INSTANTS, hour=st.integers(0, 23), minute=st.integers(0, 59))
def test_daily_cron_is_a_walk_over_dates(zone: str, after: datetime, hour: int, minute: int) -> None:
    rule = SlotRule(cron=f"{minute} {hour} * * *", timezone=zone)
    clock = ZoneInfo(zone)

    def slot_of(day: date) -> datetime:
        moment = datetime.combine(day, time(hour, minute), clock)
        while moment.astimezone(UTC).astimezone(clock).time() != moment.time():
            moment += timedelta(minutes=1)
        return moment.astimezone(UTC)

    first_day = after.astimezone(clock).date() - timedelta(days=1)
    walked = [slot_of(first_day + timedelta(days=n)) for n in range(8)]

    assert list(slots(rule, after, count=5)) == [slot for slot in walked if slot > after][:5]


@given(zone=ZONES, after=INSTANTS, step=st.sampled_from([1, 5, 7, 15, 30]), hour=st.integers(0, 23))
def test_starred_cron_is_a_watch_of_the_clock(zone: str, after: datetime, step: int, hour: int) -> None:
    rule = SlotRule(cron=f"*/{step} {hour}-23 * * *", timezone=zone)
    minutes = (after.replace(second=0, microsecond=0) + timedelta(minutes=n) for n in range(1, 60 * 24 * 6))
    seen = (
        minute
        for minute in minutes
        if (shown := minute.astimezone(ZoneInfo(zone))).minute % step == 0 and shown.hour >= hour
    )

    assert list(slots(rule, after, count=8)) == list(islice(seen, 8))


@given(after=INSTANTS, anchor=INSTANTS, seconds=st.integers(1, 400_000))
def test_intervals_count_from_the_anchor(after: datetime, anchor: datetime, seconds: int) -> None:
    interval = timedelta(seconds=seconds)
    found = list(slots(SlotRule(interval=interval, anchor=anchor), after, count=3))

    assert after < found[0] <= after + interval
    assert all((slot - anchor) % interval == timedelta() for slot in found)
    assert found == [found[0] + n * interval for n in range(3)]


@given(
    zone=ZONES,
    after=INSTANTS,
    days=st.integers(0, 70),
    cron=st.sampled_from(["@hourly", "0 4 1 * *", "5 4 * * 0"]),
)
def test_latest_slot_is_the_last_of_all(zone: str, after: datetime, days: int, cron: str) -> None:
    rule = SlotRule(cron=cron, timezone=zone)
    until = after + timedelta(days=days)

    assert latest_slot(rule, after, until) == next(reversed(list(slots(rule, after, until=until))), None)


def test_latest_slot_of_a_long_outage_is_found_at_once() -> None:
    until = datetime(2026, 1, 1, 0, 0, 30, tzinfo=UTC)
    rule = SlotRule(cron="* * * * *")

    assert latest_slot(rule, until - timedelta(days=3650), until) == until.replace(second=0)


@pytest.mark.parametrize(
    ("cron", "says"),
    [
        ("", "has 0 fields, not 5"),
        ("* * * * * *", "has 6 fields, not 5"),
        ("61 * * * *", r"bad minute.*Example: '0 6"),
        ("0 0 31 2 *", "Cron '0 0 31 2 \\*' cannot be read"),
        ("@sometimes", "Use one of @hourly"),
    ],
)
def test_a_bad_cron_is_explained(cron: str, says: str) -> None:
    with pytest.raises(ScheduleError, match=says):
        validate_cron(cron)


@pytest.mark.parametrize(
    "cron", ["@daily", "*/5 * * * *", "0 6 * * 1-5", "0 0 L * *", "0 12 * * 5#2", "0 0 29 2 *"]
)
def test_a_good_cron_passes(cron: str) -> None:
    validate_cron(cron)


@pytest.mark.parametrize("name", ["Europe/Atlantis", "", "../etc/passwd", "Europe"])
def test_a_bad_time_zone_is_explained(name: str) -> None:
    with pytest.raises(ScheduleError, match=r"is not a time zone.*Example: 'Europe/Berlin'"):
        validate_timezone(name)


def test_a_too_short_interval_is_explained() -> None:
    with pytest.raises(ScheduleError, match=r"0\.5 s is too short"):
        validate_interval(timedelta(milliseconds=500))
