"""Recurrence rules of calendars (RFC 5545): which times on a clock an rrule names. Pure.

    DTSTART:20260105T090000
    RRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,WE
    EXDATE:20260216T090000

`DTSTART` (2020-01-01 00:00 if left out) and times without `Z` are read on the clock of the schedule's
time zone. What would never end to compute, or flood the queue, is refused.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

from flows.catalog.clocks import ScheduleError

LONGEST_TEXT = 6500
FREQUENCIES = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY")
KEYS = {
    "FREQ", "INTERVAL", "UNTIL", "WKST", "BYSETPOS", "BYMONTH", "BYMONTHDAY", "BYYEARDAY", "BYWEEKNO",
    "BYDAY", "BYHOUR", "BYMINUTE", "BYSECOND",
}  # fmt: skip
WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
STEPS = {"WEEKLY": timedelta(weeks=1), "DAILY": timedelta(days=1), "HOURLY": timedelta(hours=1),
         "MINUTELY": timedelta(minutes=1)}  # fmt: skip
DEFAULT_START = datetime(2020, 1, 1)
FIRST_YEAR, LAST_YEAR = 1970, 2200
LONGEST_INTERVAL = 100_000
# The calendar repeats after 400 years, weekdays and all. dateutil looks for the next time of a rule until the
# year 9999, which takes seconds where there is none; 7,600 years later it is at the end soon.
SHIFT = 7600
SHORTEST_GAP = timedelta(minutes=1)
LOOKED_AT = 10
EXAMPLE = "Example: 'FREQ=WEEKLY;BYDAY=MO,FR;BYHOUR=6' (Mondays and Fridays at 06:00)."


@dataclass(frozen=True, slots=True)
class Recurrence:
    """An rrule, its start and the times that are left out; all on the clock of its zone."""

    parts: dict[str, str]
    start: datetime
    until: datetime | None
    left_out: frozenset[datetime]

    @property
    def frequency(self) -> str:
        return self.parts["FREQ"]

    @property
    def step(self) -> int:
        return int(self.parts.get("INTERVAL", "1"))

    @property
    def follows_time(self) -> bool:
        """Whether it goes by the hour or minute, as time passes, instead of naming times of days."""
        return self.frequency in ("HOURLY", "MINUTELY")

    def clock_times(self, after: datetime) -> Iterator[datetime]:
        """The times from `after` on, ascending; ends where there is none in 200 years."""
        try:
            for shifted in _rule(self._begun_at(after)):
                time = _shifted(shifted, -SHIFT)
                if self.until is not None and time > self.until:
                    return
                if time >= after and time >= self.start and time not in self.left_out:
                    yield time
        except ValueError as error:
            raise _refusal(str(error).rstrip(".")) from error
        except (IndexError, TypeError) as error:  # dateutil checks its numbers by using them
            raise _refusal("it names a time that no day or year has") from error
        except OverflowError:  # the end of all years
            return

    def check(self) -> None:
        """Raise ScheduleError if it never happens, or more often than once a minute."""
        times = list(islice(self.clock_times(self.start), LOOKED_AT))
        if not times:
            raise _refusal("it never happens")
        gap = min((later - earlier for earlier, later in pairwise(times)), default=SHORTEST_GAP)
        if gap < SHORTEST_GAP:
            raise _refusal(
                f"it happens {gap.total_seconds():g} s apart, and a minute is the least for an rrule; "
                "for more use an interval"
            )

    def _begun_at(self, after: datetime) -> "Recurrence":
        """The same rule with a start shortly before `after`: what lies before it need not be walked through.

        The start moves by whole periods, and what the rule takes from its start is written out before.
        """
        explicit = replace(self, parts=self._written_out())
        if after <= self.start:
            return explicit
        if self.frequency in STEPS:
            period = STEPS[self.frequency] * self.step
            periods = max(0, (after - self.start) // period - 1)
            return replace(explicit, start=self.start + periods * period)
        months = self.step * (12 if self.frequency == "YEARLY" else 1)
        passed = (after.year - self.start.year) * 12 + after.month - self.start.month
        periods = max(0, passed // months - 1)
        if not periods:
            return explicit
        month = self.start.month - 1 + periods * months
        first = 1 if self.frequency == "YEARLY" else month % 12 + 1
        begun = self.start.replace(year=self.start.year + month // 12, month=first, day=1)
        return replace(explicit, start=begun)

    def _written_out(self) -> dict[str, str]:
        """The parts, with the days that the rule takes from its start."""
        parts = dict(self.parts)
        if {"BYWEEKNO", "BYYEARDAY", "BYMONTHDAY", "BYDAY"} & parts.keys():
            return parts
        if self.frequency == "WEEKLY":
            parts["BYDAY"] = WEEKDAYS[self.start.weekday()]
        elif self.frequency in ("MONTHLY", "YEARLY"):
            parts["BYMONTHDAY"] = str(self.start.day)
            if self.frequency == "YEARLY":
                parts.setdefault("BYMONTH", str(self.start.month))
        return parts


def _rule(recurrence: Recurrence) -> Iterator[datetime]:
    """All of its times from its start on, 7,600 years later."""
    from dateutil.rrule import rrulestr

    text = ";".join(f"{name}={value}" for name, value in recurrence.parts.items() if name != "UNTIL")
    return iter(rrulestr(text, dtstart=_shifted(recurrence.start, SHIFT)))


def _shifted(time: datetime, years: int) -> datetime:
    return time.replace(year=time.year + years)


@lru_cache(maxsize=1000)
def parse(text: str, zone: ZoneInfo) -> Recurrence:
    """Read an rrule, with or without lines for DTSTART and EXDATE. Raises ScheduleError."""
    if len(text) > LONGEST_TEXT:
        raise _refusal(f"it has {len(text)} characters, and {LONGEST_TEXT} is the most")
    rule, start, left_out = "", DEFAULT_START, set[datetime]()
    for line in text.replace("\\n", "\n").upper().split():
        name, colon, value = line.rpartition(":")
        match name.partition(";")[0] if colon else "RRULE":
            case "RRULE" if not rule:
                rule = value
            case "DTSTART":
                start = _time(value, _zone_in(name, zone))
            case "EXDATE":
                left_out |= {_time(each, _zone_in(name, zone)) for each in value.split(",")}
            case _:
                raise _refusal(f"the line '{line[:60]}' is not known here; there may be one RRULE")
    parts = _parts(rule)
    until = _time(parts["UNTIL"], zone, at_end=True) if "UNTIL" in parts else None
    _check_parts(parts, start)
    return Recurrence(parts, start, until, frozenset(left_out))


def _parts(rule: str) -> dict[str, str]:
    parts: dict[str, str] = {}
    for part in filter(None, rule.split(";")):
        name, equals, value = part.partition("=")
        if name == "COUNT":
            raise _refusal("COUNT is not known, since runs are made as time goes on; end it by UNTIL")
        if name not in KEYS or not equals or not value or name in parts:
            raise _refusal(f"'{part[:60]}' is not one of {', '.join(sorted(KEYS))}, each once")
        parts[name] = value
    return parts


def _check_parts(parts: dict[str, str], start: datetime) -> None:
    if parts.get("FREQ") == "SECONDLY":
        raise _refusal("FREQ=SECONDLY would flood the queue; use an interval of seconds")
    if parts.get("FREQ") not in FREQUENCIES:
        raise _refusal(f"FREQ must be one of {', '.join(FREQUENCIES)}")
    if "BYSETPOS" in parts and parts["FREQ"] in ("HOURLY", "MINUTELY"):
        raise _refusal("BYSETPOS needs FREQ=DAILY or longer")
    step = parts.get("INTERVAL", "1")
    if not re.fullmatch(r"\d{1,6}", step) or not 1 <= int(step) <= LONGEST_INTERVAL:
        raise _refusal(f"INTERVAL must be a number from 1 to {LONGEST_INTERVAL}, not '{step[:20]}'")
    if not FIRST_YEAR <= start.year <= LAST_YEAR:
        raise _refusal(f"DTSTART must lie between {FIRST_YEAR} and {LAST_YEAR}")


def _zone_in(name: str, zone: ZoneInfo) -> ZoneInfo:
    """The zone of a line such as `DTSTART;TZID=Europe/Berlin`, which may only be the schedule's."""
    named = name.partition("TZID=")[2]
    if named and named != zone.key.upper():
        raise _refusal(f"its TZID is not the schedule's time zone, {zone.key}; say it by timezone alone")
    return zone


def _time(text: str, zone: ZoneInfo, at_end: bool = False) -> datetime:
    """`20260105T090000[Z]` or `20260105` on the zone's clock."""
    try:
        if len(text) == 8:
            day = datetime.strptime(text, "%Y%m%d")
            return day.replace(hour=23, minute=59, second=59) if at_end else day
        time = datetime.strptime(text.removesuffix("Z"), "%Y%m%dT%H%M%S")
        if not text.endswith("Z"):
            return time
        return time.replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None)
    except (ValueError, OverflowError) as error:
        raise _refusal(f"'{text[:40]}' is not a time such as 20260105T090000 or 20260105T080000Z") from error


def _refusal(reason: str) -> ScheduleError:
    return ScheduleError(f"This rrule cannot be used: {reason}. {EXAMPLE}")
