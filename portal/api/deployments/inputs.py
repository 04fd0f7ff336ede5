"""What deployments look like in requests and answers."""

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers

from flows.models import CollisionStrategy
from flows.models.deployment import KNOWN_TO_PREFECT
from portal.api.base.fields import LabelsField, NumberField, ObjectField, TagsField, TextField, TimeField
from portal.api.base.resource import Row
from portal.api.deployments.schedule_shape import ScheduleInput
from runs.models.flow_run import HIGHEST, LOWEST

COLUMNS = (
    "id", "created", "updated", "name", "description", "flow_id", "flow__name", "workspace_id",
    "entrypoint", "path", "pull_steps", "parameters", "parameter_openapi_schema", "tags", "labels",
    "version", "version_number", "paused", "quarantined", "hand_back", "crash_retries",
    "crash_retry_delay_seconds", "job_variables", "enforce_parameter_schema", "concurrency_limit",
    "collision_strategy", "last_polled", "work_queue_id", "work_queue__name", "work_queue__work_pool_id",
    "work_queue__work_pool__name", "work_queue__last_polled",
)  # fmt: skip
RENAMED = {
    "flow__name": "flow_name",
    "work_queue__name": "work_queue_name",
    "work_queue__work_pool_id": "work_pool_id",
    "work_queue__work_pool__name": "work_pool_name",
}
MOST_RUNS = 1_000_000
MOST_STEPS = 100


class CollisionInput(serializers.Serializer[Any]):
    """What becomes of a run that finds no free slot, as Prefect's clients say it."""

    collision_strategy = serializers.ChoiceField(
        choices=CollisionStrategy.choices, required=False, allow_null=True
    )


class DeploymentChange(serializers.Serializer[Any]):
    """What may be changed of a deployment."""

    entrypoint = TextField(max_length=500)
    path = TextField(max_length=1000)
    pull_steps = serializers.ListField(
        child=serializers.DictField(), required=False, allow_null=True, max_length=MOST_STEPS
    )
    parameters = ObjectField(required=False, allow_null=True)
    parameter_openapi_schema = ObjectField(required=False, allow_null=True)
    schedules = serializers.ListField(child=ScheduleInput(), required=False, allow_null=True, max_length=100)
    work_pool_name = TextField(max_length=100)
    work_queue_name = TextField(max_length=100)
    tags = TagsField()
    labels = LabelsField(required=False, allow_null=True)
    description = TextField(max_length=100_000)
    version = TextField(max_length=100)
    paused = serializers.BooleanField(required=False, allow_null=True)
    hand_back = serializers.BooleanField(required=False, allow_null=True)
    crash_retries = serializers.IntegerField(required=False, allow_null=True, min_value=0, max_value=1000)
    crash_retry_delay_seconds = NumberField(required=False, allow_null=True, min_value=0)
    job_variables = ObjectField(required=False, allow_null=True)
    enforce_parameter_schema = serializers.BooleanField(required=False, allow_null=True)
    concurrency_limit = serializers.IntegerField(
        required=False, allow_null=True, min_value=0, max_value=MOST_RUNS
    )
    collision_strategy = serializers.ChoiceField(
        choices=CollisionStrategy.choices, required=False, allow_null=True
    )
    concurrency_options = CollisionInput(required=False, allow_null=True)


class DeploymentInput(DeploymentChange):
    """The body of a create. Prefect's clients name the flow by `flow_id`, Portal's by `flow_name` (made if
    missing)."""

    name = serializers.CharField(max_length=200)
    flow_id = serializers.UUIDField(required=False, allow_null=True)
    flow_name = TextField(max_length=200)

    def validate(self, attrs: Any) -> Any:
        """Agents need an entrypoint; Prefect's processes may find their code by other means."""
        if not attrs.get("flow_id") and not attrs.get("entrypoint"):
            raise serializers.ValidationError({"entrypoint": "This field is required."})
        return attrs


class FirstDetails(serializers.Serializer[Any]):
    """The details of a new run's state that matter here."""

    scheduled_time = TimeField(required=False, allow_null=True)


class FirstState(serializers.Serializer[Any]):
    """The state that a new run shall have: SCHEDULED at a time."""

    type = serializers.ChoiceField(choices=["SCHEDULED"], required=False, allow_null=True)
    state_details = FirstDetails(required=False, allow_null=True)


class RunInput(serializers.Serializer[Any]):
    """The body of create_flow_run."""

    name = TextField(max_length=200)
    parameters = ObjectField(required=False, allow_null=True)
    enforce_parameter_schema = serializers.BooleanField(required=False, allow_null=True)
    tags = TagsField()
    labels = LabelsField(required=False, allow_null=True)
    idempotency_key = TextField(max_length=500)
    state = FirstState(required=False, allow_null=True)
    work_queue_name = TextField(max_length=100)
    job_variables = ObjectField(required=False, allow_null=True)
    priority = serializers.IntegerField(required=False, allow_null=True, min_value=LOWEST, max_value=HIGHEST)
    parent_task_run_id = serializers.UUIDField(required=False, allow_null=True)


class RollbackInput(serializers.Serializer[Any]):
    """The body of rollback."""

    number = serializers.IntegerField(min_value=1, max_value=1_000_000_000)


class ServedInput(serializers.Serializer[Any]):
    """What a process that serves deployments asks for."""

    deployment_ids = serializers.ListField(child=serializers.UUIDField(), max_length=1000)
    scheduled_before = TimeField(required=False, allow_null=True)
    limit = serializers.IntegerField(required=False, allow_null=True, min_value=1, max_value=200)


# The fields of a body that are columns of the row by the same names.
AS_THEY_ARE = (
    "entrypoint", "path", "pull_steps", "parameters", "parameter_openapi_schema", "tags", "labels",
    "description", "version", "paused", "hand_back", "crash_retries", "crash_retry_delay_seconds",
    "job_variables", "enforce_parameter_schema", "concurrency_limit", "collision_strategy",
)  # fmt: skip
EMPTIED = {"entrypoint": "", "path": "", "description": "", "version": ""}
TAKEN_AWAY = {"concurrency_limit", "crash_retries", "crash_retry_delay_seconds"}


def columns_of(body: Mapping[str, Any]) -> Row:
    """The columns that a body names, for a change: null empties a text and takes a limit away."""
    flat = {**(body.get("concurrency_options") or {}), **body}
    named = {name: flat[name] for name in AS_THEY_ARE if name in flat}
    filled = {name: EMPTIED.get(name) if value is None else value for name, value in named.items()}
    return {name: value for name, value in filled.items() if value is not None or name in TAKEN_AWAY}


def as_json(row: Row, schedules: list[Row], is_ready: bool, active_slots: int) -> Row:
    """A row with `COLUMNS` under the names that clients of both kinds know.

    Prefect's find the limit as one of its own, `global_concurrency_limit`.
    """
    shown = {RENAMED.get(name, name): value for name, value in row.items()}
    queue_polled = shown.pop("work_queue__last_polled")
    strategy = row["collision_strategy"]
    return shown | {
        "last_polled": row["last_polled"] or queue_polled,
        "status": "READY" if is_ready else "NOT_READY",
        "schedules": schedules,
        "concurrency_options": {"collision_strategy": strategy} if strategy in KNOWN_TO_PREFECT else None,
        "global_concurrency_limit": _limit_of(row, active_slots),
    }


def _limit_of(row: Row, active_slots: int) -> Row | None:
    if row["concurrency_limit"] is None:
        return None
    return {
        "id": row["id"],
        "created": row["created"],
        "updated": row["updated"],
        "name": f"deployment:{row['id']}",
        "limit": row["concurrency_limit"],
        "active": True,
        "active_slots": active_slots,
        "slot_decay_per_second": 0.0,
    }
