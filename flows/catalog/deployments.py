"""Deploying: the one way in which flows, deployments and schedules come to be and change."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction

from flows.catalog.parameters import FieldError, schema_errors, storage_errors
from flows.catalog.slots import ScheduleError, validate_cron, validate_interval, validate_timezone
from flows.catalog.versions import note_version
from flows.models import Deployment, Flow, Schedule, Workspace
from flows.models.schedule import EPOCH


@dataclass(frozen=True, slots=True)
class ScheduleSpec:
    """A wanted schedule: `cron` (in `timezone`) or `interval` (from `anchor_date`).

    `active` None leaves a schedule that exists already as somebody switched it.
    """

    cron: str = ""
    interval: timedelta | None = None
    timezone: str = "UTC"
    anchor_date: datetime = EPOCH
    parameters: Mapping[str, Any] = field(default_factory=dict)
    active: bool | None = None

    def check(self) -> None:
        """Raises ValidationError with a text that says what is wrong and how it is right."""
        if bool(self.cron) == (self.interval is not None):
            raise ValidationError({"schedules": "A schedule is either cron or interval."})
        try:
            validate_timezone(self.timezone)
            if self.interval is None:
                validate_cron(self.cron)
            else:
                validate_interval(self.interval)
        except ScheduleError as error:
            raise ValidationError({"schedules": str(error)}) from error

    def key(self) -> tuple[Any, ...]:
        parameters = repr(sorted(self.parameters.items()))
        return (self.cron, self.interval, self.timezone, self.anchor_date, parameters)


def get_or_create_flow(workspace: Workspace, name: str, tags: Iterable[str] = ()) -> tuple[Flow, bool]:
    """The flow of this name, and whether it was made now. Raises ValidationError for a bad name."""
    Flow(workspace=workspace, name=name).clean_fields(exclude=["workspace"])
    return Flow.objects.get_or_create(workspace=workspace, name=name, defaults={"tags": list(tags)})


@transaction.atomic
def deploy(
    workspace: Workspace,
    *,
    flow_name: str,
    name: str,
    entrypoint: str,
    work_queue_id: UUID,
    path: str = "",
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
) -> tuple[Deployment, bool]:
    """Create the deployment `flow_name/name`, or change it to what is given here.

    Returns it and whether it was made now. `schedules` None leaves the schedules, and `paused` or
    `hand_back` None the switch, as they are; `crash_retries` None means as the flow says. What changes
    makes a version. Raises ValidationError, field by field.
    """
    values = {
        "workspace": workspace,
        "entrypoint": entrypoint,
        "path": path,
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
    }
    switches = {"paused": paused, "hand_back": hand_back}
    values.update({name: switch for name, switch in switches.items() if switch is not None})
    _check(Deployment(name=name, **values), schedules or ())
    flow, _ = get_or_create_flow(workspace, flow_name)
    deployment, made = Deployment.objects.update_or_create(flow=flow, name=name, defaults=values)
    if schedules is not None:
        replace_schedules(deployment, schedules)
    note_version(deployment)
    return deployment, made


def _check(deployment: Deployment, schedules: Sequence[ScheduleSpec]) -> None:
    deployment.clean_fields(exclude=["flow", "workspace", "work_queue"])
    unfit: list[FieldError] = [
        *storage_errors("parameters", deployment.parameters),
        *storage_errors("job_variables", deployment.job_variables),
        *schema_errors(deployment.parameter_openapi_schema),
    ]
    if unfit:
        raise ValidationError({each.field: each.message for each in unfit})
    for schedule in schedules:
        schedule.check()


def replace_schedules(deployment: Deployment, wanted: Sequence[ScheduleSpec]) -> None:
    """Make the deployment's schedules these. Equal ones keep their ids, hence their runs."""
    present = {_spec_of(schedule).key(): schedule for schedule in deployment.schedules.all()}
    for spec in {each.key(): each for each in wanted}.values():
        schedule = present.pop(spec.key(), None)
        if schedule is None:
            _create(deployment, spec)
        elif spec.active not in (None, schedule.active):
            Schedule.objects.filter(id=schedule.id).update(active=spec.active)
    Schedule.objects.filter(id__in=[schedule.id for schedule in present.values()]).delete()


def _spec_of(schedule: Schedule) -> ScheduleSpec:
    return ScheduleSpec(
        cron=schedule.cron,
        interval=schedule.interval,
        timezone=schedule.timezone,
        anchor_date=schedule.anchor_date,
        parameters=schedule.parameters,
    )


def _create(deployment: Deployment, spec: ScheduleSpec) -> None:
    Schedule.objects.create(
        deployment=deployment,
        cron=spec.cron,
        interval=spec.interval,
        timezone=spec.timezone,
        anchor_date=spec.anchor_date,
        parameters=dict(spec.parameters),
        active=spec.active is not False,
    )
