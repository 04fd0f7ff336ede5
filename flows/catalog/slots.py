"""Schedule arithmetic: which instants (slots) a schedule names. Pure, and always in UTC.

Cron times are read on the clock of a time zone. When that clock is changed:

- A fixed time (`30 2 * * *`) happens exactly once a day: in a gap at its end, in a repeated hour
  the first time.
- A cron whose minute or hour field starts with `*` follows the real passing of time: it leaves out
  what the clock skips and happens again in a repeated hour. So does an rrule by the hour or minute.

An rrule by the day or longer names fixed times. Intervals of whole days keep their time on the clock of
the time zone, too; all others are added in UTC to the anchor, so a change of the clocks does not touch them.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile

from cronsim import CronSim, CronSimError

from flows.catalog.clocks import ScheduleError, clock_start, every_passing, once_each, zone_named
from flows.catalog.rrules import parse
from flows.models import Schedule

SHORTEST_INTERVAL, LONGEST_INTERVAL = timedelta(seconds=1), timedelta(days=3660)
DAY = timedelta(days=1)
LONGEST_WAIT = timedelta(days=50 * 366)
FIRST_YEAR, LAST_YEAR = 1970, 2200
NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


@dataclass(frozen=True, slots=True)
class SlotRule:
    """What a schedule says about time: `cron`, `rrule` or `interval` (from `anchor`), with `timezone`.

    `day_or` as in cron: a day counts if its number or its weekday is named; False: only if both are.
    """

    cron: str = ""
    interval: timedelta | None = None
    anchor: datetime = datetime(2020, 1, 1, tzinfo=UTC)
    timezone: str = "UTC"
    rrule: str = ""
    day_or: bool = True


def rule_of(schedule: Schedule) -> SlotRule:
    """The rule in a schedule's row."""
    return SlotRule(
        schedule.cron,
        schedule.interval,
        schedule.anchor_date,
        schedule.timezone,
        schedule.rrule,
        schedule.day_or,
    )


def slots(
    rule: SlotRule, after: datetime, *, count: int | None = None, until: datetime | None = None
) -> Iterator[datetime]:
    """The slots later than `after` (aware), ascending, in UTC.

    At most `count` of them and none later than `until`; with neither it goes on for as long as
    the rule does. Raises ScheduleError when the rule cannot be read.
    """
    if rule.interval is not None:
        found = _interval_slots(rule, after)
    else:
        found = _rrule_slots(rule, after) if rule.rrule else _cron_slots(rule, after)
    if until is not None:
        found = takewhile(lambda slot: slot <= until, found)
    return islice(found, count)


def latest_slot(rule: SlotRule, after: datetime, until: datetime) -> datetime | None:
    """The newest slot that is later than `after` and not later than `until`, if there is one."""
    # Looking back in growing steps: a rule by the minute is not walked through a month of outage.
    for back in (timedelta(hours=1), timedelta(days=1), timedelta(days=32), until - after):
        start = max(after, until - back)
        newest = deque(slots(rule, start, until=until), maxlen=1)
        if newest:
            return newest[0]
    return None


def validate(rule: SlotRule) -> None:
    """Raise ScheduleError unless the rule can be read and happens."""
    zone = zone_named(rule.timezone)
    if sum([bool(rule.cron), bool(rule.rrule), rule.interval is not None]) != 1:
        raise ScheduleError("A schedule is either cron, interval or rrule.")
    if rule.interval is not None:
        validate_interval(rule.interval)
        validate_anchor(rule.anchor)
    elif rule.rrule:
        parse(rule.rrule, zone).check()
    else:
        validate_cron(rule.cron, rule.day_or)


def validate_anchor(anchor: datetime) -> None:
    """Raise ScheduleError for an anchor that is centuries away."""
    if not FIRST_YEAR <= anchor.year <= LAST_YEAR:
        raise ScheduleError(
            f"An anchor in the year {anchor.year} is out of reach: use one from {FIRST_YEAR} to {LAST_YEAR}."
        )


def validate_cron(text: str, day_or: bool = True) -> None:
    """Raise ScheduleError unless `text` is a cron of five fields or an @name that ever happens."""
    _five_fields(text)
    if next(_cron_times(SlotRule(cron=text, day_or=day_or), datetime(2020, 1, 1)), None) is None:
        raise ScheduleError(f"Cron '{text}' never happens. Example: '0 6 * * 1-5' (weekdays at 06:00).")


def validate_timezone(name: str) -> None:
    """Raise ScheduleError unless `name` is a time zone of the IANA database."""
    zone_named(name)


def validate_interval(interval: timedelta) -> None:
    """Raise ScheduleError unless the interval is from one second to ten years."""
    if interval > LONGEST_INTERVAL:
        raise ScheduleError(
            f"An interval of {interval.days} days is too long: use {LONGEST_INTERVAL.days} or fewer."
        )
    if interval < SHORTEST_INTERVAL:
        seconds = interval.total_seconds()
        raise ScheduleError(f"An interval of {seconds:g} s is too short: use 1 second or more. Example: 300.")


def _interval_slots(rule: SlotRule, after: datetime) -> Iterator[datetime]:
    assert rule.interval is not None
    validate_interval(rule.interval)
    zone = zone_named(rule.timezone)
    if rule.interval % DAY or zone.key == "UTC":
        yield from _steps(rule.anchor.astimezone(UTC), rule.interval, after)
        return
    anchor = rule.anchor.astimezone(zone).replace(tzinfo=None)
    on_the_clock = _steps(anchor, rule.interval, clock_start(after.astimezone(UTC), zone))
    yield from (slot for slot in once_each(on_the_clock, zone) if slot > after)


def _steps(anchor: datetime, interval: timedelta, after: datetime) -> Iterator[datetime]:
    step = anchor + ((after - anchor) // interval + 1) * interval
    while True:
        yield step
        step += interval


def _rrule_slots(rule: SlotRule, after: datetime) -> Iterator[datetime]:
    zone = zone_named(rule.timezone)
    repeating = parse(rule.rrule, zone)
    on_the_clock = repeating.clock_times(clock_start(after.astimezone(UTC), zone))
    instants = every_passing if repeating.follows_time else once_each
    return (slot for slot in instants(on_the_clock, zone) if slot > after)


def _cron_slots(rule: SlotRule, after: datetime) -> Iterator[datetime]:
    zone = zone_named(rule.timezone)
    minute, hour, *_ = _five_fields(rule.cron)
    follows_time = minute.startswith("*") or hour.startswith("*")
    on_the_clock = _cron_times(rule, clock_start(after.astimezone(UTC), zone))
    instants = every_passing if follows_time else once_each
    return (slot for slot in instants(on_the_clock, zone) if slot > after)


def _cron_times(rule: SlotRule, start: datetime) -> Iterator[datetime]:
    minute, hour, day, month, weekday = _five_fields(rule.cron)
    if rule.day_or or "*" in (day, weekday):
        return _calendar(rule.cron, start)
    by_day = _calendar(f"{minute} {hour} {day} {month} *", start)
    by_weekday = _calendar(f"{minute} {hour} * {month} {weekday}", start)
    return _common(by_day, by_weekday, start + LONGEST_WAIT)


def _common(one: Iterator[datetime], other: Iterator[datetime], until: datetime) -> Iterator[datetime]:
    """What both have, which are ascending."""
    first, second = next(one, None), next(other, None)
    while first is not None and second is not None and first < until:
        if first == second:
            yield first
        if first <= second:
            first = next(one, None)
        else:
            second = next(other, None)


def _calendar(cron: str, start: datetime) -> Iterator[datetime]:
    """Clock times after `start`, as if clocks were never changed."""
    try:
        return iter(CronSim(" ".join(_five_fields(cron)), start))
    except CronSimError as error:
        raise ScheduleError(
            f"Cron '{cron}' cannot be read ({str(error).lower()}). "
            "Example: '0 6 * * 1-5' (weekdays at 06:00)."
        ) from error


def _five_fields(cron: str) -> list[str]:
    text = cron.strip()
    if text.startswith("@") and text.lower() not in NICKNAMES:
        raise ScheduleError(f"Cron '{cron}' is not known. Use one of {', '.join(NICKNAMES)}.")
    fields = NICKNAMES.get(text.lower(), text).split()
    if len(fields) != 5:
        raise ScheduleError(
            f"Cron '{cron}' has {len(fields)} fields, not 5 (minute, hour, day, month, weekday). "
            "Example: '*/15 * * * *' (every 15 minutes)."
        )
    return fields
