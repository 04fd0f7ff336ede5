"""Slots in all time zones over ten years: wherever one begins to look, they are the same ones."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

from hypothesis import given, settings
from hypothesis import strategies as st

from flows.catalog.slots import SlotRule, slots

SKIPPED = {"Factory", "localtime"}
ZONES = st.sampled_from(sorted(available_timezones() - SKIPPED))
MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))
CRONS = st.sampled_from(
    ["@hourly", "*/15 * * * *", "30 2 * * *", "0,30 0-3 * * *", "0 0 * * *", "30 1 * * 0", "59 23 L * *",
     "*/20 1-3 * * *", "7 */2 * 3,10 *"]
)  # fmt: skip
RRULES = st.sampled_from(
    ["FREQ=DAILY;BYHOUR=2;BYMINUTE=30", "FREQ=HOURLY;BYMINUTE=0,30", "FREQ=MINUTELY;INTERVAL=50",
     "FREQ=WEEKLY;INTERVAL=3;BYDAY=SU;BYHOUR=1,2,3", "FREQ=MONTHLY;BYMONTHDAY=-1",
     "FREQ=YEARLY;BYDAY=-1SU;BYMONTH=3",
     "DTSTART:20200131T013000\nRRULE:FREQ=MONTHLY;INTERVAL=2", "FREQ=HOURLY;INTERVAL=5", "FREQ=YEARLY",
     "DTSTART:20200229T003000\nRRULE:FREQ=YEARLY;INTERVAL=2", "FREQ=DAILY;INTERVAL=11"]
)  # fmt: skip
INTERVALS = st.sampled_from(
    [timedelta(days=1), timedelta(weeks=1), timedelta(hours=7), timedelta(seconds=90)]
)
RULES = st.one_of(
    st.builds(lambda cron, zone: SlotRule(cron=cron, timezone=zone), CRONS, ZONES),
    st.builds(lambda rrule, zone: SlotRule(rrule=rrule, timezone=zone), RRULES, ZONES),
    st.builds(
        lambda interval, anchor, zone: SlotRule(interval=interval, anchor=anchor, timezone=zone),
        INTERVALS, MOMENTS, ZONES,
    ),
)  # fmt: skip


def changes_of_the_clock(zone: str, year: int) -> list[datetime]:
    """The days (UTC) of a year in which the zone's clock is changed."""
    clock = ZoneInfo(zone)
    days = [datetime(year, 1, 1, tzinfo=UTC) + timedelta(days=n) for n in range(366)]
    offsets = [day.astimezone(clock).utcoffset() for day in days]
    return [day for day, (one, other) in zip(days, pairwise(offsets), strict=False) if one != other]


@given(rule=RULES, start=MOMENTS, hours=st.integers(0, 24 * 40))
@settings(max_examples=200)
def test_slots_do_not_depend_on_where_one_begins(rule: SlotRule, start: datetime, hours: int) -> None:
    later = start + timedelta(hours=hours)

    walked = [slot for slot in slots(rule, start, until=later + timedelta(days=2)) if slot > later]
    begun = list(slots(rule, later, until=later + timedelta(days=2)))

    assert begun == walked
    assert all(one < other for one, other in pairwise(begun))


@given(rule=RULES, year=st.integers(2020, 2029), choose=st.integers(0, 9), minutes=st.integers(-300, 1740))
@settings(max_examples=200)
def test_nor_at_the_changes_of_the_clock(rule: SlotRule, year: int, choose: int, minutes: int) -> None:
    changes = changes_of_the_clock(rule.timezone, year)
    if not changes:
        return
    day = changes[choose % len(changes)]
    start, end = day - timedelta(days=2), day + timedelta(days=3)
    asked = day + timedelta(minutes=minutes)

    whole = list(slots(rule, start, until=end))

    assert [slot for slot in whole if slot > asked] == list(slots(rule, asked, until=end))
    assert len(set(whole)) == len(whole)
    # One scheduler after another, each taking the slots up to the next one's first: none twice, none lost.
    handed_on = [*slots(rule, start, until=asked), *slots(rule, asked, until=end)]
    assert handed_on == whole
