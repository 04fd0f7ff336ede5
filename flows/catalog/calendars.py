"""Calendars: at which moments schedules may run. Pure.

A blackout is a window that happens once, or again and again on some weekdays (those on which it begins):

    {"from": "2026-12-24T18:00", "to": "2026-12-27T06:00", "reason": "year end"}
    {"from": "22:00", "to": "04:00", "weekdays": [5, 6], "reason": "backup"}
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from flows.catalog.clocks import MINUTE, ScheduleError, end_of_gap, instant, zone_named
from flows.models import Calendar

EVERY_DAY = frozenset(range(1, 8))
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MOST_HOLIDAYS, MOST_BLACKOUTS = 2000, 200
# Nothing is moved further than this: a calendar that is closed for longer leaves nothing.
REACH = timedelta(days=400)
DAY = timedelta(days=1)
EXAMPLE = (
    'Examples: {"from": "2026-12-24T18:00", "to": "2026-12-27T06:00"} once, '
    '{"from": "22:00", "to": "04:00", "weekdays": [5]} on Friday nights.'
)


@dataclass(frozen=True, slots=True)
class Blackout:
    """A window, on the calendar's clock: between two moments, or between two times of some weekdays."""

    start: datetime | time
    end: datetime | time
    weekdays: frozenset[int]
    reason: str

    def end_of(self, moment: datetime) -> datetime | None:
        """When the window around `moment` ends; None if it is not in it."""
        if isinstance(self.start, datetime) and isinstance(self.end, datetime):
            return self.end if self.start <= moment < self.end else None
        assert isinstance(self.start, time) and isinstance(self.end, time)
        for day in (moment.date() - DAY, moment.date()):
            begin = datetime.combine(day, self.start)
            end = datetime.combine(day if self.end > self.start else day + DAY, self.end)
            if day.isoweekday() in self.weekdays and begin <= moment < end:
                return end
        return None


@dataclass(frozen=True, slots=True)
class OpenTimes:
    """What a calendar says, ready to be asked."""

    name: str
    zone: ZoneInfo
    weekdays: frozenset[int]
    holidays: frozenset[date]
    blackouts: tuple[Blackout, ...]

    def closed(self, moment: datetime) -> tuple[datetime, str] | None:
        """Until when (UTC) and why `moment` is forbidden; None if it is allowed.

        It may be forbidden then, too, for another reason.
        """
        clock = moment.astimezone(self.zone).replace(tzinfo=None, fold=0)
        found = self._closed_on(clock)
        if found is None:
            return None
        end, reason = found
        readings = (instant(end_of_gap(end, self.zone), self.zone, fold) for fold in (0, 1))
        # In a repeated hour the first reading may have passed already.
        return next((each for each in readings if each > moment), moment + MINUTE), reason

    def _closed_on(self, clock: datetime) -> tuple[datetime, str] | None:
        day = clock.date()
        midnight = datetime.combine(day + DAY, time())
        if day.isoweekday() not in self.weekdays:
            return midnight, f"{DAYS[day.weekday()]} does not count in '{self.name}'"
        if day in self.holidays:
            return midnight, f"{day} is a holiday in '{self.name}'"
        for blackout in self.blackouts:
            if end := blackout.end_of(clock):
                return end, f"{blackout.reason or 'blackout'} until {end:%Y-%m-%d %H:%M} in '{self.name}'"
        return None

    def next_open(self, moment: datetime) -> datetime | None:
        """The first allowed moment from `moment` on (UTC); None if there is none in 400 days."""
        last = moment + REACH
        while (found := self.closed(moment)) is not None:
            moment = found[0]
            if moment > last:
                return None
        return moment


def open_times(calendar: Calendar) -> OpenTimes:
    """Read a calendar's row. Raises ScheduleError."""
    return OpenTimes(
        calendar.name,
        zone_named(calendar.timezone),
        _weekdays(calendar.weekdays),
        frozenset(calendar.holidays),
        tuple(_blackout(each) for each in _listed(calendar.blackouts)),
    )


def check_calendar(calendar: Calendar, now: datetime) -> None:
    """Raise ScheduleError for what cannot be read, and for a calendar that leaves nothing from `now` on."""
    if len(calendar.holidays) > MOST_HOLIDAYS:
        raise ScheduleError(f"A calendar holds at most {MOST_HOLIDAYS} holidays.")
    if open_times(calendar).next_open(now.astimezone(UTC)) is None:
        raise ScheduleError(
            f"This calendar leaves no moment in the next {REACH.days} days: nothing could ever run by it."
        )


def _weekdays(days: Any) -> frozenset[int]:
    if not isinstance(days, list | tuple) or not days or not all(type(day) is int for day in days):
        raise ScheduleError(_WEEKDAYS_WRONG)
    found = frozenset(days)
    if not found <= EVERY_DAY:
        raise ScheduleError(_WEEKDAYS_WRONG)
    return found


_WEEKDAYS_WRONG = "Weekdays are numbers from 1 (Monday) to 7 (Sunday), at least one. Example: [1, 2, 3]."


def _listed(blackouts: Any) -> Sequence[Any]:
    if not isinstance(blackouts, list) or len(blackouts) > MOST_BLACKOUTS:
        raise ScheduleError(f"Blackouts are a list of at most {MOST_BLACKOUTS} windows. {EXAMPLE}")
    return blackouts


def _blackout(given: Any) -> Blackout:
    if not isinstance(given, dict) or not {"from", "to"} <= given.keys() <= _BLACKOUT_KEYS:
        raise ScheduleError(f"A blackout has from, to and, if you like, weekdays and reason. {EXAMPLE}")
    start, end = _edge(given["from"]), _edge(given["to"])
    reason = given.get("reason") or ""
    if not isinstance(reason, str) or len(reason) > 200:
        raise ScheduleError("The reason of a blackout is a text of at most 200 characters.")
    if isinstance(start, datetime) and isinstance(end, datetime):
        if "weekdays" in given or end <= start:
            raise ScheduleError(
                f"A blackout between two dates has no weekdays, and ends after it begins. {EXAMPLE}"
            )
        return Blackout(start, end, EVERY_DAY, reason)
    if isinstance(start, datetime) or isinstance(end, datetime):
        raise ScheduleError(f"A blackout is between two dates or between two times of day. {EXAMPLE}")
    return Blackout(start, end, _weekdays(given.get("weekdays", sorted(EVERY_DAY))), reason)


_BLACKOUT_KEYS = {"from", "to", "weekdays", "reason"}


def _edge(text: Any) -> datetime | time:
    for read in (time.fromisoformat, datetime.fromisoformat):
        try:
            found = read(text)
        except (TypeError, ValueError):
            continue
        if found.tzinfo is None:
            return found
    raise ScheduleError(f"'{str(text)[:40]}' is neither a time of day nor a date with time. {EXAMPLE}")
