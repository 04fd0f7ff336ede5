"""Schedules as they are written in Python: `Cron("0 6 * * *")`, `Interval(60)`, `RRule("FREQ=DAILY")`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

MISSED = ("skip", "latest", "all")
CALENDAR_POLICIES = ("skip", "move")
CRON_FIELDS = 5


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a deployment is due: `cron` or `rrule` (read in `timezone`), or `interval` (from `anchor_date`).

    parameters: override those of the deployment.
    active: None leaves an existing schedule as it is switched.
    slug: its name in the deployment; deploying again changes the schedule of this name.
    missed_runs: of the slots that pass while no scheduler runs, "skip" all, run the "latest" (default) or
        "all": the newest `missed_at_most` (100) of those less than `missed_within` (a timedelta) ago.
    calendar: the name of a calendar in Portal; slots that it forbids are left out, or moved to the next
        allowed moment if `calendar_policy` is "move".

    Raises ValueError for what can be seen to be wrong here; Portal checks the rest when it is deployed.
    """

    cron: str | None = None
    interval: timedelta | None = None
    anchor_date: datetime | None = None
    timezone: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    active: bool | None = None
    rrule: str | None = None
    day_or: bool = True
    slug: str | None = None
    missed_runs: str | None = None
    missed_within: timedelta | None = None
    missed_at_most: int | None = None
    calendar: str | None = None
    calendar_policy: str | None = None

    def __post_init__(self) -> None:
        if sum(each is not None for each in (self.cron, self.interval, self.rrule)) != 1:
            raise ValueError("A schedule is either cron, interval or rrule: Cron('0 6 * * *'), Interval(60).")
        if self.timezone is not None:
            _check_timezone(self.timezone)
        if self.cron is not None:
            _check_cron(self.cron)
        if self.rrule is not None:
            _check_rrule(self.rrule)
        _check_choice("missed_runs", self.missed_runs, MISSED)
        _check_choice("calendar_policy", self.calendar_policy, CALENDAR_POLICIES)

    def as_json(self) -> dict[str, Any]:
        """The schedule as the API takes it."""
        rule = {
            "cron": self.cron,
            "day_or": self.day_or if self.cron else None,
            "interval": self.interval.total_seconds() if self.interval else None,
            "anchor_date": self.anchor_date.isoformat() if self.anchor_date else None,
            "rrule": self.rrule,
            "timezone": self.timezone,
        }
        within = self.missed_within
        options = {
            "active": self.active,
            "slug": self.slug,
            "missed_runs": self.missed_runs,
            "missed_within_seconds": round(within.total_seconds()) if within else None,
            "missed_at_most": self.missed_at_most,
            "calendar": self.calendar,
            "calendar_policy": self.calendar_policy,
        }
        return {"schedule": _given(rule), "parameters": dict(self.parameters), **_given(options)}


def Cron(cron: str, /, timezone: str | None = None, day_or: bool = True, **options: Any) -> Schedule:
    """Due at the times of a cron expression, such as "0 6 * * *", on the clock of `timezone` (UTC).

    A cron that names days and weekdays is due when either fits; with `day_or=False`, when both do.
    """
    return Schedule(cron=cron, timezone=timezone, day_or=day_or, **options)


def Interval(
    interval: float | timedelta,
    /,
    anchor_date: datetime | None = None,
    timezone: str | None = None,
    **options: Any,
) -> Schedule:
    """Due every `interval` (seconds, or a timedelta), counted from `anchor_date` (2020-01-01 UTC).

    Whole days keep their time on the clock of `timezone` (UTC) when that is changed.
    """
    span = interval if isinstance(interval, timedelta) else timedelta(seconds=interval)
    if span.total_seconds() <= 0:
        raise ValueError(f"An interval must be longer than 0 seconds, not {span.total_seconds():g}.")
    return Schedule(interval=span, anchor_date=anchor_date, timezone=timezone, **options)


def RRule(rrule: str, /, timezone: str | None = None, **options: Any) -> Schedule:
    """Due by a recurrence rule (RFC 5545), such as "FREQ=WEEKLY;BYDAY=MO,FR", on the clock of `timezone`.

    Without a DTSTART line it begins on 2020-01-01 at 00:00.
    """
    return Schedule(rrule=rrule, timezone=timezone, **options)


def wanted(
    cron: str | list[str] | None = None,
    interval: float | timedelta | list[float | timedelta] | None = None,
    schedule: Schedule | None = None,
    schedules: list[Schedule] | None = None,
    timezone: str | None = None,
    rrule: str | list[str] | None = None,
) -> list[Schedule] | None:
    """All that was asked for; None if nothing was, which leaves a deployment's schedules as they are.

    Raises ValueError for a `timezone` without `cron` or `rrule`.
    """
    if timezone is not None and cron is None and rrule is None:
        raise ValueError("timezone says how to read cron or rrule, which are missing.")
    if all(each is None for each in (cron, interval, rrule, schedule, schedules)):
        return None
    found = [Cron(each, timezone) for each in _listed(cron)]
    found += [Interval(each) for each in _listed(interval)]
    found += [RRule(each, timezone) for each in _listed(rrule)]
    return [*found, *_listed(schedule), *(schedules or [])]


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _check_cron(cron: str) -> None:
    fields = len(cron.split())
    if not cron.startswith("@") and fields != CRON_FIELDS:
        raise ValueError(f"Cron {cron!r} has {fields} fields, not 5. Example: '0 6 * * 1-5'.")


def _check_rrule(rrule: str) -> None:
    if "FREQ=" not in rrule.upper():
        raise ValueError(f"RRule {rrule!r} has no FREQ. Example: 'FREQ=WEEKLY;BYDAY=MO,FR;BYHOUR=6'.")


def _check_timezone(name: str) -> None:
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} is not a time zone. Example: 'Europe/Berlin'.") from error


def _check_choice(name: str, given: str | None, choices: tuple[str, ...]) -> None:
    if given is not None and given not in choices:
        raise ValueError(f"{name} is one of {', '.join(choices)}, not {given!r}.")
