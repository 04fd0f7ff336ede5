"""Schedules in Prefect's shape: {"schedule": {"cron" | "interval", ...}, "active", "parameters"}."""

from datetime import UTC, timedelta
from typing import Any

from rest_framework import serializers

from flows.catalog.deployments import ScheduleSpec
from flows.models import Schedule
from flows.models.schedule import EPOCH
from portal.api.fields import ObjectField, TextField

MOST_SECONDS = 3660 * 86400


class RuleInput(serializers.Serializer[Any]):
    """When: `cron` in `timezone`, or `interval` (seconds) from `anchor_date`."""

    cron = TextField(max_length=200)
    interval = serializers.FloatField(required=False, allow_null=True, min_value=1, max_value=MOST_SECONDS)
    rrule = TextField(max_length=1000)
    anchor_date = serializers.DateTimeField(required=False, allow_null=True)
    timezone = TextField(max_length=64)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs.get("rrule"):
            raise serializers.ValidationError("rrule schedules are not supported; use cron or interval.")
        return attrs


class ScheduleInput(serializers.Serializer[Any]):
    """One schedule of a deployment."""

    schedule = RuleInput()
    active = serializers.BooleanField(required=False, allow_null=True)
    parameters = ObjectField(required=False, allow_null=True)


def spec_from(body: dict[str, Any]) -> ScheduleSpec:
    """The schedule that a validated ScheduleInput asks for."""
    rule = body["schedule"]
    seconds = rule.get("interval")
    return ScheduleSpec(
        cron=rule.get("cron") or "",
        interval=None if seconds is None else timedelta(seconds=seconds),
        timezone=rule.get("timezone") or "UTC",
        anchor_date=(rule.get("anchor_date") or EPOCH).astimezone(UTC),
        parameters=body.get("parameters") or {},
        active=body.get("active"),
    )


def schedule_as_json(schedule: Schedule) -> dict[str, Any]:
    rule: dict[str, Any] = {"timezone": schedule.timezone}
    if schedule.interval is None:
        rule["cron"] = schedule.cron
    else:
        rule |= {"interval": schedule.interval.total_seconds(), "anchor_date": schedule.anchor_date}
    return {
        "id": schedule.id,
        "created": schedule.created,
        "updated": schedule.updated,
        "deployment_id": schedule.deployment_id,
        "schedule": rule,
        "active": schedule.active,
        "parameters": schedule.parameters,
    }
