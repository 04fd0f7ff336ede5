"""How a flow run looks in answers: under Prefect's names, its state as Prefect's clients read it."""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from django.utils import timezone

from flows.sdk.states import State
from portal.api.base.fields import estimates, state_of
from portal.api.base.resource import Row, Rows
from runs.models import FlowRunState

COLUMNS = (
    "id", "created", "updated", "name", "flow_id", "flow__name", "deployment_id", "deployment__name",
    "work_queue_id", "work_queue__name", "work_queue__work_pool_id", "work_queue__work_pool__name",
    "parameters", "job_variables", "tags", "idempotency_key", "created_by", "priority", "schedule_id",
    "state_id", "state_type", "state_name", "state_message", "state_timestamp",
    "expected_start_time", "start_time", "end_time", "total_run_time", "run_count", "crash_count",
    "attempt",
    "agent_id", "infrastructure_pid", "claimed_time", "forked_time", "loaded_time",
    "cpu_seconds", "peak_memory_bytes",
    "root_run_id", "parent_task_run_id", "version", "deployment_version", "workspace_id",
    "slot", "backfill_id", "rerun_of_id",
    "flow_version", "empirical_policy", "labels", "context", "pause_keys", "resuming",
)  # fmt: skip
RENAMED = {
    "flow__name": "flow_name",
    "deployment__name": "deployment_name",
    "work_queue__name": "work_queue_name",
    "work_queue__work_pool_id": "work_pool_id",
    "work_queue__work_pool__name": "work_pool_name",
}
IN_POLICY = ("pause_keys", "resuming")
NO_RETRIES = {"retries": None, "retry_delay": None, "max_retries": 0, "retry_delay_seconds": 0}


def flow_run_as_json(row: Row) -> Row:
    """A row with `COLUMNS`, under Prefect's names."""
    shown = {RENAMED.get(name, name): value for name, value in row.items() if name not in IN_POLICY}
    version = row["deployment_version"]
    shown.update(
        auto_scheduled=shown.pop("schedule_id") is not None,
        infrastructure_pid=row["infrastructure_pid"] or None,
        flow_version=row["flow_version"] or None,
        deployment_version=None if version is None else str(version),
        empirical_policy=_policy_of(row),
        labels=_labels_of(row),
        context=row["context"] or {},
        created_by=_creator_of(row["created_by"]),
        next_scheduled_start_time=row["expected_start_time"] if row["state_type"] == "SCHEDULED" else None,
        state=state_of(row),
        **estimates(row, row["expected_start_time"], timezone.now()),
    )
    return shown


def runs_as_json(rows: Iterable[Row]) -> Rows:
    """Such rows, with the details and the data of their states. One query for all."""
    found = list(rows)
    ids = [row["state_id"] for row in found]
    details = dict(FlowRunState.objects.filter(id__in=ids).values_list("id", "state_details"))
    shown = [flow_run_as_json(row) for row in found]
    for run in shown:
        told = details.get(run["state_id"]) or {}
        run["state"] |= details_as_json(told, run["id"])
        if told.get("retry_in_process"):
            run["empirical_policy"]["retry_type"] = "in_process"
    return shown


def state_as_json(state: State, run_id: UUID) -> Row:
    """A state, with its details."""
    return {
        "id": state.id,
        "type": state.type,
        "name": state.name,
        "message": state.message or None,
        "timestamp": state.timestamp,
        **details_as_json(state.details, run_id),
    }


def details_as_json(details: Mapping[str, Any], run_id: UUID) -> Row:
    """`state_details`, and `data`: what the client left with the state, which is kept among its details."""
    told = {name: value for name, value in details.items() if name != "data"}
    return {"data": details.get("data"), "state_details": {"flow_run_id": run_id, **told}}


def _policy_of(row: Row) -> Row:
    told = row["empirical_policy"] or {}
    return {**NO_RETRIES, **told, "retry_type": None, **{name: row[name] for name in IN_POLICY}}


def _labels_of(row: Row) -> Row:
    labels = {"prefect.flow.id": str(row["flow_id"])}
    if row["deployment_id"]:
        labels["prefect.deployment.id"] = str(row["deployment_id"])
    return {**labels, **(row["labels"] or {})}


def _creator_of(created_by: Row | None) -> Row | None:
    """Who made the run. Prefect's clients take no other ids than UUIDs: one that is a number becomes one."""
    if created_by is None:
        return None
    id = str(created_by.get("id", ""))
    return {
        **created_by,
        "id": str(UUID(int=int(id))) if id.isdecimal() and len(id) < 30 else created_by.get("id"),
    }
