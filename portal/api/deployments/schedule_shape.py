"""Schedules in Prefect's shape: {"schedule": {"cron" | "interval" | "rrule", ...}, "active", "slug", ...}."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from rest_framework import serializers

from flows.catalog.preview import Coming
from flows.catalog.schedules import ScheduleSpec
from flows.catalog.slots import SlotRule
from flows.models import Schedule
from flows.models.schedule import EPOCH, CalendarPolicy, MissedRuns
from portal.api.base.fields import NumberField, ObjectField, TextField, TimeField

MOST_SECONDS = 3660 * 86400
MOST_RRULE = 6500


class RuleInput(serializers.Serializer[Any]):
    """When: `cron` or `rrule` in `timezone`, or `interval` (seconds) from `anchor_date`."""

    cron = TextField(max_length=200)
    day_or = serializers.BooleanField(required=False, allow_null=True)
    interval = NumberField(required=False, allow_null=True, min_value=1, max_value=MOST_SECONDS)
    rrule = TextField(max_length=MOST_RRULE)
    anchor_date = TimeField(required=False, allow_null=True)
    timezone = TextField(max_length=64)


class ScheduleChange(serializers.Serializer[Any]):
    """What may be changed of a schedule."""

    schedule = RuleInput(required=False)
    active = serializers.BooleanField(required=False, allow_null=True)
    parameters = ObjectField(required=False, allow_null=True)
    slug = TextField(max_length=100)
    missed_runs = serializers.ChoiceField(choices=MissedRuns.choices, required=False)
    missed_within_seconds = serializers.IntegerField(
        required=False, allow_null=True, min_value=1, max_value=MOST_SECONDS
    )
    missed_at_most = serializers.IntegerField(required=False, min_value=1, max_value=10_000)
    max_scheduled_runs = serializers.IntegerField(
        required=False, allow_null=True, min_value=1, max_value=10_000
    )
    calendar = TextField(max_length=100)
    calendar_policy = serializers.ChoiceField(choices=CalendarPolicy.choices, required=False)


class ScheduleInput(ScheduleChange):
    """One schedule of a deployment."""

    schedule = RuleInput()


def values_from(body: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a ScheduleSpec that a validated ScheduleChange names."""
    values = {name: body[name] for name in _AS_THEY_ARE if name in body}
    values |= {name: body[name] or "" for name in ("slug", "calendar") if name in body}
    if "parameters" in body:
        values["parameters"] = body["parameters"] or {}
    if "schedule" in body:
        values["rule"] = _rule(body["schedule"])
    return values


_AS_THEY_ARE = (
    "active", "missed_runs", "missed_within_seconds", "missed_at_most", "max_scheduled_runs",
    "calendar_policy",
)  # fmt: skip


def spec_from(body: Mapping[str, Any]) -> ScheduleSpec:
    """The schedule that a validated ScheduleInput asks for."""
    return ScheduleSpec(**values_from(body))


def _rule(rule: Mapping[str, Any]) -> SlotRule:
    seconds = rule.get("interval")
    return SlotRule(
        cron=rule.get("cron") or "",
        interval=None if seconds is None else timedelta(seconds=seconds),
        rrule=rule.get("rrule") or "",
        timezone=rule.get("timezone") or "UTC",
        anchor=(rule.get("anchor_date") or EPOCH).astimezone(UTC),
        day_or=rule.get("day_or") is not False,
    )


def schedule_as_json(schedule: Schedule) -> dict[str, Any]:
    """A row, whose calendar is loaded with it."""
    return {
        "id": schedule.id,
        "created": schedule.created,
        "updated": schedule.updated,
        "deployment_id": schedule.deployment_id,
        "schedule": _rule_as_json(schedule),
        "active": schedule.active,
        "parameters": schedule.parameters,
        "slug": schedule.slug or None,
        "missed_runs": schedule.missed_runs,
        "missed_within_seconds": schedule.missed_within_seconds,
        "missed_at_most": schedule.missed_at_most,
        "max_scheduled_runs": schedule.max_scheduled_runs,
        "calendar": schedule.calendar.name if schedule.calendar else None,
        "calendar_policy": schedule.calendar_policy,
    }


def _rule_as_json(schedule: Schedule) -> dict[str, Any]:
    rule: dict[str, Any] = {"timezone": schedule.timezone}
    if schedule.interval is not None:
        return {"interval": schedule.interval.total_seconds(), "anchor_date": schedule.anchor_date} | rule
    if schedule.rrule:
        return {"rrule": schedule.rrule} | rule
    return {"cron": schedule.cron, "day_or": schedule.day_or} | rule


def coming_as_json(coming: Coming, schedule_id: Any = None) -> dict[str, Any]:
    """One slot of a preview; `at` is null for one that is skipped."""
    shown: dict[str, Any] = {
        "slot": coming.slot,
        "at": coming.at,
        "clock": coming.clock,
        "why": coming.why,
        "remark": coming.remark,
    }
    return {"schedule_id": schedule_id} | shown if schedule_id else shown


def moment_of(text: str | None, otherwise: datetime) -> datetime:
    """A moment in a query. Raises ValidationError."""
    if not text:
        return otherwise
    moment: datetime = TimeField().run_validation(text.replace(" ", "+"))
    return moment
