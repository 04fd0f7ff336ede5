"""Schedule arithmetic: which instants (slots) a schedule names. Pure, and always in UTC.

Cron times are read on the clock of a time zone. When that clock is changed:

- A fixed time (`30 2 * * *`) happens exactly once a day: in a gap at its end, in a repeated hour
  the first time.
- A cron whose minute or hour field starts with `*` follows the real passing of time: it leaves out
  what the clock skips and happens again in a repeated hour.

Intervals are added in UTC to an anchor, so a change of the clocks does not touch them.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from flows.models import Schedule

SHORTEST_INTERVAL = timedelta(seconds=1)
NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}

# No time zone repeats more than this when its clock goes back.
LONGEST_FOLD = timedelta(hours=3)
MINUTE = timedelta(minutes=1)


class ScheduleError(ValueError):
    """A schedule that cannot be read. The text says what is wrong and shows one that is right."""


@dataclass(frozen=True, slots=True)
class SlotRule:
    """What a schedule says about time: either `cron` (with `timezone`) or `interval` (from `anchor`)."""

    cron: str = ""
    interval: timedelta | None = None
    anchor: datetime = datetime(2020, 1, 1, tzinfo=UTC)
    timezone: str = "UTC"


def rule_of(schedule: Schedule) -> SlotRule:
    """The rule in a schedule's row."""
    return SlotRule(schedule.cron, schedule.interval, schedule.anchor_date, schedule.timezone)


def slots(
    rule: SlotRule, after: datetime, *, count: int | None = None, until: datetime | None = None
) -> Iterator[datetime]:
    """The slots later than `after` (aware), ascending, in UTC.

    At most `count` of them and none later than `until`; with neither it goes on for as long as
    the rule does. Raises ScheduleError when the rule cannot be read.
    """
    found = _interval_slots(rule, after) if rule.interval is not None else _cron_slots(rule, after)
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


def validate_cron(text: str) -> None:
    """Raise ScheduleError unless `text` is a cron of five fields or an @name that ever happens."""
    _five_fields(text)
    if next(_calendar(text, datetime(2020, 1, 1)), None) is None:
        raise ScheduleError(f"Cron '{text}' never happens. Example: '0 6 * * 1-5' (weekdays at 06:00).")


def validate_timezone(name: str) -> None:
    """Raise ScheduleError unless `name` is a time zone of the IANA database."""
    _zone(name)


def validate_interval(interval: timedelta) -> None:
    """Raise ScheduleError unless the interval is at least one second."""
    if interval < SHORTEST_INTERVAL:
        seconds = interval.total_seconds()
        raise ScheduleError(f"An interval of {seconds:g} s is too short: use 1 second or more. Example: 300.")


def _interval_slots(rule: SlotRule, after: datetime) -> Iterator[datetime]:
    assert rule.interval is not None
    validate_interval(rule.interval)
    anchor = rule.anchor.astimezone(UTC)
    slot = anchor + ((after - anchor) // rule.interval + 1) * rule.interval
    while True:
        yield slot
        slot += rule.interval


def _cron_slots(rule: SlotRule, after: datetime) -> Iterator[datetime]:
    zone = _zone(rule.timezone)
    minute, hour, *_ = _five_fields(rule.cron)
    follows_time = minute.startswith("*") or hour.startswith("*")
    on_the_clock = _calendar(rule.cron, _clock_start(after.astimezone(UTC), zone))
    instants = _every_passing(on_the_clock, zone) if follows_time else _once_each(on_the_clock, zone)
    return (slot for slot in instants if slot > after)


def _clock_start(after: datetime, zone: ZoneInfo) -> datetime:
    """Where to begin on the clock: early enough for the times that it repeats after `after`."""
    before, later = ((after + offset).astimezone(zone) for offset in (-LONGEST_FOLD, LONGEST_FOLD))
    steady = before.utcoffset() == later.utcoffset()
    return (after.astimezone(zone) if steady else before).replace(tzinfo=None)


def _once_each(clock: Iterator[datetime], zone: ZoneInfo) -> Iterator[datetime]:
    """Each clock time once: skipped ones at the end of the gap, repeated ones the first time."""
    last = None
    for time in clock:
        while not _exists(time, zone):
            time += MINUTE
        instant = _instant(time, zone)
        if instant != last:  # two times of one gap are one slot
            yield instant
        last = instant


def _every_passing(clock: Iterator[datetime], zone: ZoneInfo) -> Iterator[datetime]:
    """Each instant at which the clock shows one of these times: none, one or two for each."""
    repeats: deque[datetime] = deque()
    for time in clock:
        if not _exists(time, zone):
            continue
        first, second = _instant(time, zone), _instant(time, zone, fold=1)
        while repeats and repeats[0] < first:
            yield repeats.popleft()
        yield first
        if second != first:
            repeats.append(second)
    yield from repeats


def _instant(time: datetime, zone: ZoneInfo, fold: int = 0) -> datetime:
    return time.replace(tzinfo=zone, fold=fold).astimezone(UTC)


def _exists(time: datetime, zone: ZoneInfo) -> bool:
    return _instant(time, zone).astimezone(zone).replace(tzinfo=None, fold=0) == time


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


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ScheduleError(
            f"'{name}' is not a time zone. Use a name of the IANA database. Example: 'Europe/Berlin'."
        ) from error
