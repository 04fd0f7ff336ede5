"""The clocks of time zones: from the times that they show to instants, across their changes."""

from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

# No time zone repeats more than this when its clock goes back.
LONGEST_FOLD = timedelta(hours=3)
MINUTE = timedelta(minutes=1)


class ScheduleError(ValueError):
    """A schedule that cannot be read. The text says what is wrong and shows one that is right."""


def zone_named(name: str) -> ZoneInfo:
    """The time zone of this name in the IANA database. Raises ScheduleError."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ScheduleError(
            f"'{name}' is not a time zone. Use a name of the IANA database. Example: 'Europe/Berlin'."
        ) from error


def clock_start(after: datetime, zone: ZoneInfo) -> datetime:
    """Where to begin on the clock: early enough for the times that it repeats after `after` (UTC)."""
    before, later = ((after + offset).astimezone(zone) for offset in (-LONGEST_FOLD, LONGEST_FOLD))
    steady = before.utcoffset() == later.utcoffset()
    return (after.astimezone(zone) if steady else before).replace(tzinfo=None)


def once_each(clock: Iterator[datetime], zone: ZoneInfo) -> Iterator[datetime]:
    """Each clock time once: skipped ones at the end of the gap, repeated ones the first time."""
    last = None
    for time in clock:
        found = instant(end_of_gap(time, zone), zone)
        if found != last:  # two times of one gap are one slot
            yield found
        last = found


def every_passing(clock: Iterator[datetime], zone: ZoneInfo) -> Iterator[datetime]:
    """Each instant at which the clock shows one of these times: none, one or two for each."""
    repeats: deque[datetime] = deque()
    for time in clock:
        if not exists(time, zone):
            continue
        first, second = instant(time, zone), instant(time, zone, fold=1)
        while repeats and repeats[0] < first:
            yield repeats.popleft()
        yield first
        if second != first:
            repeats.append(second)
    yield from repeats


def instant(time: datetime, zone: ZoneInfo, fold: int = 0) -> datetime:
    """When (UTC) the zone's clock shows `time`; of two such instants the first, or by fold=1 the second."""
    return time.replace(tzinfo=zone, fold=fold).astimezone(UTC)


def exists(time: datetime, zone: ZoneInfo) -> bool:
    """Whether the zone's clock ever shows `time`."""
    return instant(time, zone).astimezone(zone).replace(tzinfo=None, fold=0) == time


def end_of_gap(time: datetime, zone: ZoneInfo) -> datetime:
    """`time`; if the clock skips it, the first time that it shows again."""
    while not exists(time, zone):
        time = time.replace(second=0, microsecond=0) + MINUTE
    return time
