"""Schedules of deployments: the one way in which they come to be, change and go."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from flows.catalog.calendars import open_times
from flows.catalog.clocks import ScheduleError
from flows.catalog.occurrences import Plan, check_plan
from flows.catalog.parameters import validate
from flows.catalog.slots import SlotRule, rule_of
from flows.models import Calendar, Deployment, Schedule, Workspace
from flows.models.schedule import CalendarPolicy, MissedRuns
from flows.models.workspace import NAME_RULE
from flows.unhurried import unhurried


class UnfitParametersError(ScheduleError):
    """A schedule of which each run would fail at once: its flow does not take the parameters."""


@dataclass(frozen=True, slots=True)
class ScheduleSpec:
    """A wanted schedule, as the fields of `flows.models.Schedule` say it; the calendar by its name.

    `active` None leaves a schedule that exists already as somebody switched it.
    """

    rule: SlotRule
    slug: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    active: bool | None = None
    missed_runs: str = MissedRuns.LATEST.value
    missed_within_seconds: int | None = None
    missed_at_most: int = 100
    max_scheduled_runs: int | None = None
    calendar: str = ""
    calendar_policy: str = CalendarPolicy.SKIP.value

    def plan(self, workspace: Workspace) -> Plan:
        """What it means in time. Raises ScheduleError, also for a calendar that is not there."""
        calendar = calendar_named(workspace, self.calendar)
        times = open_times(calendar) if calendar else None
        return Plan(self.rule, times, self.calendar_policy == CalendarPolicy.MOVE)

    def check(self, deployment: Deployment) -> None:
        """Raise ScheduleError with a text that says what is wrong and how it is right."""
        check_plan(self.plan(deployment.workspace), datetime.now(UTC))
        # What is missing may come from the deployment, which is changed without its schedules.
        schema = deployment.parameter_openapi_schema if deployment.enforce_parameter_schema else {}
        optional = {name: part for name, part in schema.items() if name != "required"}
        for each in validate(optional, dict(self.parameters)):
            raise UnfitParametersError(f"The parameters do not fit the flow. {each.field}: {each.message}")
        if self.slug:
            try:
                NAME_RULE(self.slug)
            except ValidationError as error:
                raise ScheduleError(f"The name of a schedule is not right: {error.message}") from error
        if self.missed_at_most < 1:
            raise ScheduleError("missed_at_most must be 1 or more; to run none, missed_runs is 'skip'.")

    def columns(self, workspace: Workspace) -> dict[str, Any]:
        """The values of the row, but for `active`."""
        rule = self.rule
        return {
            "cron": rule.cron,
            "interval": rule.interval,
            "rrule": rule.rrule,
            "timezone": rule.timezone,
            "anchor_date": rule.anchor,
            "day_or": rule.day_or,
            "slug": self.slug,
            "parameters": dict(self.parameters),
            "missed_runs": self.missed_runs,
            "missed_within_seconds": self.missed_within_seconds,
            "missed_at_most": self.missed_at_most,
            "max_scheduled_runs": self.max_scheduled_runs,
            "calendar": calendar_named(workspace, self.calendar),
            "calendar_policy": self.calendar_policy,
        }


def spec_of(schedule: Schedule) -> ScheduleSpec:
    """What a row says."""
    return ScheduleSpec(
        rule=rule_of(schedule),
        slug=schedule.slug,
        parameters=schedule.parameters,
        active=schedule.active,
        missed_runs=schedule.missed_runs,
        missed_within_seconds=schedule.missed_within_seconds,
        missed_at_most=schedule.missed_at_most,
        max_scheduled_runs=schedule.max_scheduled_runs,
        calendar=schedule.calendar.name if schedule.calendar else "",
        calendar_policy=schedule.calendar_policy,
    )


def calendar_named(workspace: Workspace, name: str) -> Calendar | None:
    """The calendar, None for the empty name. Raises ScheduleError if there is none."""
    if not name:
        return None
    found: Calendar | None = Calendar.objects.filter(workspace=workspace, name=name).first()
    if found is None:
        raise ScheduleError(
            f"There is no calendar '{name}' in workspace '{workspace.name}'. Make it first, in the admin or "
            "by POST /api/calendars/."
        )
    return found


def check_schedules(deployment: Deployment, specs: Iterable[ScheduleSpec]) -> None:
    """Raises ValidationError for the first of them that is wrong."""
    slugs: set[str] = set()
    for spec in specs:
        try:
            spec.check(deployment)
        except ScheduleError as error:
            raise ValidationError({"schedules": str(error)}) from error
        if spec.slug in slugs:
            raise ValidationError({"schedules": f"Two schedules are called '{spec.slug}'."})
        slugs |= {spec.slug} - {""}


def replace_schedules(deployment: Deployment, wanted: Sequence[ScheduleSpec]) -> None:
    """Make the deployment's schedules these. Those of the same name, and equal ones, keep their ids."""
    present = {
        _key(spec_of(each)): each
        for each in deployment.schedules.select_related("calendar").order_by("-created")
    }
    # The names that are given up are free before others take them.
    kept = {_key(spec) for spec in wanted}
    gone = [schedule.id for key, schedule in present.items() if key not in kept]
    with unhurried():
        deployment.schedules.exclude(id__in=[each.id for each in present.values()]).delete()  # duplicates
        Schedule.objects.filter(id__in=gone).delete()
    for key, spec in {_key(each): each for each in wanted}.items():
        if key in present:
            change_schedule(present[key], spec)
        else:
            _create(deployment, spec)


def _key(spec: ScheduleSpec) -> Any:
    """What makes two schedules the same one: their name, or else all that they say."""
    if spec.slug:
        return spec.slug
    return repr(replace(spec, active=None, parameters=dict(sorted(spec.parameters.items()))))


def add_schedules(deployment: Deployment, specs: Sequence[ScheduleSpec]) -> list[Schedule]:
    """Give the deployment more schedules. Raises ValidationError."""
    check_schedules(deployment, specs)
    with _names_once():
        return [_create(deployment, spec) for spec in specs]


def change_schedule(schedule: Schedule, spec: ScheduleSpec) -> None:
    """Make a schedule what the checked `spec` says, if it is not that already; its coming runs follow."""
    wanted = replace(spec, active=schedule.active if spec.active is None else spec.active)
    if spec_of(schedule) == wanted:
        return
    for name, value in wanted.columns(schedule.deployment.workspace).items():
        setattr(schedule, name, value)
    schedule.active = bool(wanted.active)
    with _names_once():
        schedule.save()


def _create(deployment: Deployment, spec: ScheduleSpec) -> Schedule:
    made: Schedule = Schedule.objects.create(
        deployment=deployment, active=spec.active is not False, **spec.columns(deployment.workspace)
    )
    return made


@contextmanager
def _names_once() -> Iterator[None]:
    """A transaction in which a name that is taken becomes a ValidationError."""
    try:
        with transaction.atomic():
            yield
    except IntegrityError as error:
        raise ValidationError({"slug": "This deployment has a schedule of this name already."}) from error
