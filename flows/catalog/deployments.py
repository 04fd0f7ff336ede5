"""Deploying: the one way in which flows, deployments and schedules come to be and change."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction

from flows.catalog.parameters import FieldError, schema_errors, storage_errors
from flows.catalog.schedules import ScheduleSpec, check_schedules, replace_schedules
from flows.catalog.versions import note_version
from flows.models import CollisionStrategy, Deployment, Flow, Workspace


def get_or_create_flow(
    workspace: Workspace, name: str, tags: Iterable[str] = (), labels: Mapping[str, Any] | None = None
) -> tuple[Flow, bool]:
    """The flow of this name, and whether it was made now. Raises ValidationError for a bad name."""
    Flow(workspace=workspace, name=name).clean_fields(exclude=["workspace"])
    values = {"tags": list(tags), "labels": dict(labels or {})}
    return Flow.objects.get_or_create(workspace=workspace, name=name, defaults=values)


@transaction.atomic
def deploy(
    workspace: Workspace,
    *,
    flow_name: str,
    name: str,
    work_queue_id: UUID | None,
    entrypoint: str = "",
    path: str = "",
    pull_steps: Sequence[Mapping[str, Any]] = (),
    labels: Mapping[str, Any] | None = None,
    parameters: Mapping[str, Any] | None = None,
    parameter_openapi_schema: Mapping[str, Any] | None = None,
    schedules: Sequence[ScheduleSpec] | None = None,
    tags: Iterable[str] = (),
    description: str = "",
    version: str = "",
    paused: bool | None = None,
    crash_retries: int | None = None,
    crash_retry_delay_seconds: float | None = None,
    hand_back: bool | None = None,
    job_variables: Mapping[str, Any] | None = None,
    enforce_parameter_schema: bool = True,
    concurrency_limit: int | None = None,
    collision_strategy: str = CollisionStrategy.ENQUEUE,
) -> tuple[Deployment, bool]:
    """Create the deployment `flow_name/name`, or change it to what is given here.

    Returns it and whether it was made now. `work_queue_id` None: a process that serves it fetches its runs.
    `schedules` None leaves the schedules, and `paused` or
    `hand_back` None the switch, as they are; `crash_retries` None means as the flow says,
    `concurrency_limit` None any number of runs at once. What changes makes a version. Raises
    ValidationError, field by field.
    """
    values = {
        "workspace": workspace,
        "entrypoint": entrypoint,
        "path": path,
        "pull_steps": list(pull_steps),
        "labels": dict(labels or {}),
        "parameters": dict(parameters or {}),
        "parameter_openapi_schema": dict(parameter_openapi_schema or {}),
        "work_queue_id": work_queue_id,
        "tags": list(tags),
        "description": description,
        "version": version,
        "crash_retries": crash_retries,
        "crash_retry_delay_seconds": crash_retry_delay_seconds,
        "job_variables": dict(job_variables or {}),
        "enforce_parameter_schema": enforce_parameter_schema,
        "concurrency_limit": concurrency_limit,
        "collision_strategy": collision_strategy,
    }
    switches = {"paused": paused, "hand_back": hand_back}
    values.update({name: switch for name, switch in switches.items() if switch is not None})
    wanted = Deployment(name=name, **values)
    _check(wanted)
    check_schedules(wanted, schedules or ())
    flow, _ = get_or_create_flow(workspace, flow_name)
    deployment, made = Deployment.objects.update_or_create(flow=flow, name=name, defaults=values)
    if schedules is not None:
        replace_schedules(deployment, schedules)
    note_version(deployment)
    return deployment, made


@transaction.atomic
def change_deployment(
    deployment_id: UUID, values: Mapping[str, Any], schedules: Sequence[ScheduleSpec] | None = None
) -> Deployment:
    """Change these columns of a deployment, and its schedules unless they are None. What changes makes a
    version. Raises ValidationError, field by field."""
    deployment: Deployment = Deployment.objects.select_for_update().get(id=deployment_id)
    for name, value in values.items():
        setattr(deployment, name, value)
    _check(deployment)
    check_schedules(deployment, schedules or ())
    deployment.save()
    if schedules is not None:
        replace_schedules(deployment, schedules)
    note_version(deployment)
    return deployment


def _check(deployment: Deployment) -> None:
    deployment.clean_fields(exclude=["flow", "workspace", "work_queue"])
    unfit: list[FieldError] = [
        *storage_errors("parameters", deployment.parameters),
        *storage_errors("job_variables", deployment.job_variables),
        *storage_errors("pull_steps", deployment.pull_steps),
        *storage_errors("labels", deployment.labels),
        *schema_errors(deployment.parameter_openapi_schema),
    ]
    if unfit:
        raise ValidationError({each.field: each.message for each in unfit})
