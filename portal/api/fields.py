"""Pieces that several resources share: how a state looks, how text and lists come in."""

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers

UUID_PATTERN = "[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"
TAGS_AT_MOST = 100


def state_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """The current state of a run, as an object of its own, from the columns of the run's row."""
    return {
        "id": row["state_id"],
        "type": row["state_type"],
        "name": row["state_name"],
        "message": row["state_message"] or None,
        "timestamp": row["state_timestamp"],
    }


class TagsField(serializers.ListField):
    """A list of short texts; null means none."""

    child = serializers.CharField(max_length=200)

    def __init__(self) -> None:
        super().__init__(required=False, allow_null=True, max_length=TAGS_AT_MOST)


class ObjectField(serializers.JSONField):
    """A JSON object; null means an empty one."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, dict):
            raise serializers.ValidationError("must be a JSON object.")
        return data


class LabelsField(serializers.DictField):
    """Labels as Prefect's clients send and read them: texts, numbers and booleans by name."""

    def __init__(self) -> None:
        super().__init__(required=False, allow_null=True)

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, dict):
            raise serializers.ValidationError("must be a JSON object.")
        for name, value in data.items():
            if not isinstance(value, str | int | float):
                raise serializers.ValidationError({name: "must be a text, a number or a boolean."})
        return data


class TextField(serializers.CharField):
    """A text that may be left out, null or empty."""

    def __init__(self, max_length: int) -> None:
        super().__init__(required=False, allow_null=True, allow_blank=True, max_length=max_length)
