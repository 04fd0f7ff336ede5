"""States as clients send them."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from rest_framework import serializers

from flows.sdk.states import State, StateType
from portal.api.base.fields import ObjectField, TextField, TimeField
from runs.models.flow_run import StateType as StateChoices

MOST_DATA_BYTES = 256 * 1024

Read = Callable[[Any], Any]


class StateInput(serializers.Serializer[Any]):
    """A state. `data` is JSON that only clients understand, such as where a result is kept."""

    type = serializers.ChoiceField(choices=StateChoices.choices)
    name = TextField(max_length=100)
    message = TextField(max_length=100_000)
    state_details = ObjectField(required=False, allow_null=True)

    def to_internal_value(self, sent: Any) -> Any:
        # A serializer cannot have a field of the name "data".
        return {**super().to_internal_value(sent), "data": _bounded(sent.get("data"))}


class SetStateInput(serializers.Serializer[Any]):
    """The body of set_state."""

    state = StateInput()
    force = serializers.BooleanField(required=False)


def state_from(body: Mapping[str, Any]) -> State:
    """The state in a request, with a new id and the present time. Raises ValidationError."""
    details = details_from(body.get("state_details") or {})
    if body.get("data") is not None:
        details["data"] = body["data"]
    return State(
        StateType(body["type"]),
        name=body.get("name") or "",
        message=body.get("message") or "",
        details=details,
    )


def details_from(given: Mapping[str, Any]) -> dict[str, Any]:
    """The state details that clients may set; what only our own processes may say is left out."""
    return {name: READ[name](given[name]) for name in READ if given.get(name) is not None}


def _time(value: Any) -> str:
    return str(TimeField().run_validation(value).isoformat())


def _text(value: Any) -> str:
    return str(serializers.CharField(max_length=1000, allow_blank=True).run_validation(value))


def _key(value: Any) -> str:
    return str(serializers.CharField(max_length=300).run_validation(value))


def _switch(value: Any) -> bool:
    return bool(serializers.BooleanField().run_validation(value))


def _keyset(value: Any) -> Any:
    return serializers.DictField(child=serializers.CharField(max_length=300)).run_validation(value)


READ: Mapping[str, Read] = {
    **dict.fromkeys(("scheduled_time", "pause_timeout", "cache_expiration"), _time),
    **dict.fromkeys(
        ("pause_reschedule", "untrackable_result", "deferred", "refresh_cache", "retriable"), _switch
    ),
    **dict.fromkeys(("task_run_id", "child_flow_run_id", "cache_key", "transition_id"), _text),
    **dict.fromkeys(("task_parameters_id", "traceparent"), _text),
    "pause_key": _key,
    "run_input_keyset": _keyset,
}


def _bounded(data: Any) -> Any:
    if len(json.dumps(data)) > MOST_DATA_BYTES:
        most = MOST_DATA_BYTES // 1024
        raise serializers.ValidationError({"data": f"More than {most} KiB: keep results elsewhere."})
    return data
