"""The bodies in which Prefect's clients make flow runs, and change them."""

from typing import Any

from rest_framework import serializers

from flows.catalog.parameters import storage_errors
from portal.api.base.errors import InvalidInput
from portal.api.base.fields import LabelsField, NumberField, ObjectField, TagsField, TextField
from portal.api.base.resource import Row
from portal.api.flow_runs.state_inputs import StateInput

STORED = ("parameters", "job_variables", "context")


class PolicyField(ObjectField):
    """Retries of a flow, and their delay in seconds."""

    NUMBERS = ("retries", "retry_delay", "max_retries", "retry_delay_seconds")

    def to_internal_value(self, data: Any) -> Any:
        policy = super().to_internal_value(data)
        number = NumberField(min_value=0, max_value=1_000_000_000)
        for name in self.NUMBERS:
            if policy.get(name) is not None:
                number.run_validation(policy[name])
        return {name: policy[name] for name in self.NUMBERS if name in policy}


class ChangeInput(serializers.Serializer[Any]):
    """What may be changed of a run."""

    name = TextField(max_length=200)
    tags = TagsField()
    parameters = ObjectField(required=False, allow_null=True)
    job_variables = ObjectField(required=False, allow_null=True)
    flow_version = TextField(max_length=100)
    empirical_policy = PolicyField(required=False, allow_null=True)
    infrastructure_pid = TextField(max_length=200)


class RunOfFlowInput(ChangeInput):
    """A run of a flow that its maker executes, or that a Prefect worker shall: then with its pool."""

    flow_id = serializers.UUIDField()
    state = StateInput(required=False, allow_null=True)
    labels = LabelsField(required=False, allow_null=True)
    idempotency_key = TextField(max_length=500)
    parent_task_run_id = serializers.UUIDField(required=False, allow_null=True)
    work_pool_name = TextField(max_length=100)
    work_queue_name = TextField(max_length=100)

    def to_internal_value(self, sent: Any) -> Any:
        # A serializer cannot have a field of the name "context".
        context = sent.get("context") or {}
        if not isinstance(context, dict):
            raise serializers.ValidationError({"context": "must be a JSON object."})
        return {**super().to_internal_value(sent), "context": context}


def check_storable(body: Row) -> None:
    """Raises InvalidInput for values in a body that the database cannot hold."""
    if unfit := [each for name in STORED for each in storage_errors(name, body.get(name, {}))]:
        raise InvalidInput(unfit)
