"""Schedules as they are written in Python: `Cron("0 6 * * *")`, `Interval(60)`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a deployment is due: `cron` (read in `timezone`) or `interval` (from `anchor_date`).

    `parameters` override those of the deployment; `active` None leaves an existing one as it is switched.
    """

    cron: str | None = None
    interval: timedelta | None = None
    anchor_date: datetime | None = None
    timezone: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    active: bool | None = None

    def as_json(self) -> dict[str, Any]:
        """The schedule as the API takes it."""
        rule = {
            "cron": self.cron,
            "interval": self.interval.total_seconds() if self.interval else None,
            "anchor_date": self.anchor_date.isoformat() if self.anchor_date else None,
            "timezone": self.timezone,
        }
        given = {name: value for name, value in rule.items() if value is not None}
        return {"schedule": given, "active": self.active, "parameters": dict(self.parameters)}


def Cron(cron: str, /, timezone: str | None = None, **options: Any) -> Schedule:
    """Due at the times of a cron expression, such as "0 6 * * *", on the clock of `timezone` (UTC)."""
    return Schedule(cron=cron, timezone=timezone, **options)


def Interval(
    interval: float | timedelta,
    /,
    anchor_date: datetime | None = None,
    timezone: str | None = None,
    **options: Any,
) -> Schedule:
    """Due every `interval` (seconds, or a timedelta), counted from `anchor_date` (2020-01-01 UTC)."""
    span = interval if isinstance(interval, timedelta) else timedelta(seconds=interval)
    if span.total_seconds() <= 0:
        raise ValueError(f"An interval must be longer than 0 seconds, not {span.total_seconds():g}.")
    return Schedule(interval=span, anchor_date=anchor_date, timezone=timezone, **options)


def wanted(
    cron: str | list[str] | None = None,
    interval: float | timedelta | list[float | timedelta] | None = None,
    schedule: Schedule | None = None,
    schedules: list[Schedule] | None = None,
    timezone: str | None = None,
) -> list[Schedule] | None:
    """All that was asked for; None if nothing was, which leaves a deployment's schedules as they are.

    Raises ValueError for a `timezone` without `cron`.
    """
    if timezone is not None and cron is None:
        raise ValueError("timezone says how to read cron, which is missing.")
    if all(each is None for each in (cron, interval, schedule, schedules)):
        return None
    found = [Cron(each, timezone) for each in _listed(cron)]
    found += [Interval(each) for each in _listed(interval)]
    return [*found, *_listed(schedule), *(schedules or [])]


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
