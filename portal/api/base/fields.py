"""Pieces that several resources share: how a state looks, how text and lists come in."""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rest_framework import serializers

from flows.catalog.parameters import storage_errors
from portal.api.base.moments import moment
from runs.models.flow_run import StateType

UUID_PATTERN = "[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"
TAGS_AT_MOST = 100
LABELS_AT_MOST = 500


def storable(text: str) -> str:
    """A text of a path as it may be in the database, which holds no NUL."""
    return text.replace("\0", "")


def state_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """The current state of a run, as an object of its own, from the columns of the run's row."""
    return {
        "id": row["state_id"],
        "type": row["state_type"],
        "name": row["state_name"],
        "message": row["state_message"] or None,
        "timestamp": row["state_timestamp"],
    }


def estimates(row: Mapping[str, Any], due: datetime, now: datetime) -> dict[str, float]:
    """Seconds that a run has run until `now`, and how much later than it was due it began."""
    run_time = row["total_run_time"]
    if row["state_type"] == StateType.RUNNING:
        run_time += max(0.0, (now - row["state_timestamp"]).total_seconds())
    delta = (row["start_time"] - due).total_seconds() if row["start_time"] else 0.0
    return {"estimated_run_time": run_time, "estimated_start_time_delta": max(0.0, delta)}


class TagsField(serializers.ListField):
    """A list of short texts; null means none."""

    child = serializers.CharField(max_length=200)

    def __init__(self) -> None:
        super().__init__(required=False, allow_null=True, max_length=TAGS_AT_MOST)


class NumberField(serializers.FloatField):
    """A finite number. DRF's own reads the texts "nan" and "inf", and NaN lies within any bounds."""

    def to_internal_value(self, data: Any) -> Any:
        number = super().to_internal_value(data)
        if not math.isfinite(number):
            self.fail("invalid")
        return number


class TimeField(serializers.DateTimeField):
    """A time in the years that can be stored, and read again, in every time zone."""

    def to_internal_value(self, value: Any) -> Any:
        time = super().to_internal_value(value)
        try:
            return moment(time)
        except ValueError as error:
            raise serializers.ValidationError(f"{error}.") from error


class ObjectField(serializers.JSONField):
    """A JSON object; null means an empty one."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, dict):
            raise serializers.ValidationError("must be a JSON object.")
        return data


class LabelsField(ObjectField):
    """Labels as Prefect's clients send and read them: texts, numbers and switches by name."""

    def to_internal_value(self, data: Any) -> Any:
        labels = super().to_internal_value(data)
        if len(labels) > LABELS_AT_MOST:
            raise serializers.ValidationError(f"at most {LABELS_AT_MOST} labels.")
        if not all(isinstance(value, str | int | float) for value in labels.values()):
            raise serializers.ValidationError("labels are texts, numbers or switches.")
        if unfit := storage_errors("labels", labels):
            raise serializers.ValidationError(unfit[0].message)
        return labels


class TextField(serializers.CharField):
    """A text that may be left out, null or empty."""

    def __init__(self, max_length: int) -> None:
        super().__init__(required=False, allow_null=True, allow_blank=True, max_length=max_length)
