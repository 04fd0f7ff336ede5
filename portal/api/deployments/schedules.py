"""The schedules of one deployment: list, add, change, remove, and look ahead."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, ClassVar

from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from agents.services.database import database_time
from flows.catalog.clocks import ScheduleError
from flows.catalog.occurrences import Plan, plan_of
from flows.catalog.preview import COUNT, MOST, preview
from flows.catalog.schedules import add_schedules, change_schedule, check_schedules, spec_of
from flows.catalog.slots import FIRST_YEAR, LAST_YEAR
from flows.models import Deployment, Membership, Schedule
from portal.api.base.fields import UUID_PATTERN
from portal.api.base.resource import Resource, Row, read
from portal.api.deployments.schedule_shape import (
    ScheduleChange,
    ScheduleInput,
    coming_as_json,
    moment_of,
    schedule_as_json,
    spec_from,
    values_from,
)

MOST_SCHEDULES = 100


class PreviewQuery(serializers.Serializer[Any]):
    """How far to look: `count` slots later than `after` (now)."""

    count = serializers.IntegerField(required=False, min_value=1, max_value=MOST)
    after = serializers.CharField(required=False, max_length=40)


class _Listed(serializers.Serializer[Any]):
    schedules = serializers.ListField(child=ScheduleInput(), allow_empty=False, max_length=MOST_SCHEDULES)


class DeploymentSchedules(Resource):
    """Mixed into the deployments' viewset."""

    roles: ClassVar[Mapping[str, Membership.Role]] = {
        "add_schedules": Membership.Role.EDITOR,
        "change_schedule": Membership.Role.EDITOR,
        "remove_schedule": Membership.Role.EDITOR,
        "preview_unsaved": Membership.Role.VIEWER,
    }

    @action(detail=True)
    def schedules(self, request: Request, pk: str) -> Response:
        """All of them, the oldest first."""
        return Response([schedule_as_json(each) for each in _schedules(self.get_object())])

    @schedules.mapping.post
    def add_schedules(self, request: Request, pk: str) -> Response:
        """Add those in the body, a list (or one); 201 with what was made."""
        deployment: Deployment = self.get_object()
        given = request.data if isinstance(request.data, list) else [request.data]
        body = _Listed(data={"schedules": given})
        body.is_valid(raise_exception=True)
        made = add_schedules(deployment, [spec_from(each) for each in body.validated_data["schedules"]])
        return Response([schedule_as_json(each) for each in made], status=201)

    @action(detail=True, methods=["patch"], url_path=f"schedules/(?P<schedule_id>{UUID_PATTERN})")
    def change_schedule(self, request: Request, pk: str, schedule_id: str) -> Response:
        """Change what the body names: 204, as Prefect answers. A new `schedule` replaces the whole rule."""
        schedule = self._schedule(schedule_id)
        body = ScheduleChange(data=request.data)
        body.is_valid(raise_exception=True)
        spec = replace(spec_of(schedule), **values_from(body.validated_data))
        check_schedules(schedule.deployment, [spec])
        change_schedule(schedule, spec)
        return Response(status=204)

    @change_schedule.mapping.delete
    def remove_schedule(self, request: Request, pk: str, schedule_id: str) -> Response:
        """Remove it, and its coming runs with it."""
        self._schedule(schedule_id).delete()
        return Response(status=204)

    @action(detail=True, url_path="schedules/preview")
    def preview(self, request: Request, pk: str) -> Response:
        """The next slots (`?count=20&after=...`) of all active schedules: `{"now", "results"}`.

        `at` is when a slot runs, null if its calendar skips it; `why` and `remark` say what is odd.
        """
        deployment: Deployment = self.get_object()
        after, count = _asked(request)
        found = [
            coming_as_json(each, schedule.id)
            for schedule in _schedules(deployment).filter(active=True)
            for each in _previewed(plan_of(schedule), after, count)
        ]
        found.sort(key=lambda each: each["at"] or each["slot"])
        return Response({"after": after, "results": found[:count]})

    @preview.mapping.post
    def preview_unsaved(self, request: Request, pk: str) -> Response:
        """The same for the schedule in the body, which is not saved; 422 if it could not be."""
        deployment: Deployment = self.get_object()
        spec = spec_from(read(ScheduleInput, request))
        check_schedules(deployment, [spec])
        after, count = _asked(request)
        found = _previewed(spec.plan(deployment.workspace), after, count)
        return Response({"after": after, "results": [coming_as_json(each) for each in found]})

    def _schedule(self, schedule_id: str) -> Schedule:
        found: Schedule | None = _schedules(self.get_object()).filter(id=schedule_id).first()
        if found is None:
            raise NotFound(f"The deployment has no schedule {schedule_id}, or you may not see it.")
        return found


def _schedules(deployment: Deployment) -> Any:
    related = Schedule.objects.filter(deployment=deployment).select_related(
        "calendar", "deployment__workspace"
    )
    return related.order_by("id")


def _asked(request: Request) -> tuple[datetime, int]:
    query = PreviewQuery(data=request.query_params.dict())
    query.is_valid(raise_exception=True)
    after = moment_of(query.validated_data.get("after"), database_time())
    if not FIRST_YEAR <= after.year <= LAST_YEAR:
        raise ValidationError({"after": f"Use a moment from {FIRST_YEAR} to {LAST_YEAR}."})
    return after, query.validated_data.get("count", COUNT)


def _previewed(plan: Plan, after: datetime, count: int) -> Any:
    try:
        return preview(plan, after, count)
    except ScheduleError as error:
        raise ValidationError({"schedule": str(error)}) from error


def schedules_of(deployment_ids: list[Any]) -> dict[Any, list[Row]]:
    """The schedules of several deployments, in one query."""
    found: dict[Any, list[Row]] = {each: [] for each in deployment_ids}
    rows = Schedule.objects.filter(deployment_id__in=deployment_ids).select_related("calendar")
    for schedule in rows.order_by("id"):
        found[schedule.deployment_id].append(schedule_as_json(schedule))
    return found
