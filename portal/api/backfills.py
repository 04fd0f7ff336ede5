"""Backfills: plan them, look at the plan first, pause, resume and cancel them."""

from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Any, ClassVar, TypeVar

import django_filters
from django.utils.dateparse import parse_date, parse_datetime
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound, PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from agents.services.database import database_time
from flows.catalog.parameters import FieldError
from flows.catalog.slots import SlotRule
from flows.models import Deployment, Membership, Schedule
from flows.models.schedule import EPOCH
from portal.access.actors import actor_of, created_by, has_role
from portal.api.base.errors import Conflict, InvalidInput
from portal.api.base.fields import NumberField, ObjectField, TagsField, TextField, TimeField
from portal.api.base.resource import Resource, Row, Rows, read
from portal.api.deployments.schedule_shape import MOST_SECONDS
from portal.api.filtering.query import ChoiceInFilter, UUIDInFilter
from portal.api.flow_runs.shape import COLUMNS as FLOW_RUN_COLUMNS
from portal.api.flow_runs.shape import flow_run_as_json
from runs.backfills.cells import Cell
from runs.backfills.counts import counts_of, waiting_on
from runs.backfills.plan import Plan, plan
from runs.backfills.steer import (
    NotPossibleError,
    cancel_backfill,
    change_concurrency,
    create_backfill,
    pause_backfill,
    resume_backfill,
)
from runs.backfills.wish import LEAST_PRIORITY, MOST_PRIORITY, BackfillError, Wish
from runs.models import Backfill, FlowRun
from runs.models.backfill import BackfillState, Which

COLUMNS = (
    "id", "created", "updated", "finished", "workspace_id", "deployment_id", "deployment__name",
    "deployment__flow__name", "schedule_id", "state", "start", "end", "rule", "slot_parameter", "grid",
    "parameters", "which", "newest_first", "concurrency", "priority", "tags", "total", "released",
    "planned_percent", "message", "created_by",
)  # fmt: skip
WAITING_FACTS = ("state", "total", "released", "concurrency", "planned_percent")
RENAMED = {"deployment__name": "deployment_name", "deployment__flow__name": "flow_name"}
MOST_CONCURRENCY = 10_000

Made = TypeVar("Made")


class MomentField(serializers.Field[Any, Any, Any, Any]):
    """A date (`2026-03-01`: the whole day) or a date and time; without a zone, it is in the schedule's."""

    def to_internal_value(self, data: Any) -> date | datetime:
        try:
            found = (parse_date(data) or parse_datetime(data)) if isinstance(data, str) else None
        except ValueError:
            found = None
        if found is None:
            raise serializers.ValidationError("write it as 2026-03-01 or 2026-03-01T06:00:00Z.")
        return found


class BackfillInput(serializers.Serializer[Any]):
    """The body of create and preview: as `runs.backfills.wish.Wish`, the rule by `cron` or `interval` (s)."""

    id = serializers.UUIDField(required=False, allow_null=True)
    deployment_id = serializers.UUIDField()
    start = MomentField(required=False, allow_null=True)
    end = MomentField(required=False, allow_null=True)
    schedule_id = serializers.UUIDField(required=False, allow_null=True)
    cron = TextField(max_length=200)
    interval = NumberField(required=False, allow_null=True, min_value=1, max_value=MOST_SECONDS)
    anchor_date = TimeField(required=False, allow_null=True)
    timezone = TextField(max_length=64)
    grid = ObjectField(required=False, allow_null=True)
    parameters = ObjectField(required=False, allow_null=True)
    slot_parameter = TextField(max_length=200)
    which = serializers.ChoiceField(choices=Which.choices, required=False, allow_null=True)
    newest_first = serializers.BooleanField(required=False, allow_null=True)
    concurrency = serializers.IntegerField(
        required=False, allow_null=True, min_value=1, max_value=MOST_CONCURRENCY
    )
    priority = serializers.IntegerField(
        required=False, allow_null=True, min_value=LEAST_PRIORITY, max_value=MOST_PRIORITY
    )
    tags = TagsField()

    def validate_grid(self, grid: Any) -> Any:
        wrong = [name for name, values in (grid or {}).items() if not isinstance(values, list)]
        if wrong:
            raise serializers.ValidationError(f"{', '.join(wrong)}: give a list of values.")
        return grid

    def validate(self, attrs: Row) -> Row:
        given = [name for name in ("schedule_id", "cron", "interval") if attrs.get(name)]
        if len(given) > 1:
            raise serializers.ValidationError(
                {given[1]: f"is given beside {given[0]}; only one can be meant."}
            )
        return attrs


class ChangeInput(serializers.Serializer[Any]):
    """The body of a change: how many runs may be under way at once."""

    concurrency = serializers.IntegerField(min_value=1, max_value=MOST_CONCURRENCY)


class CancelInput(serializers.Serializer[Any]):
    """The body of cancel: whether runs that have started end, too."""

    running_too = serializers.BooleanField(required=False, allow_null=True)


class BackfillFilter(django_filters.FilterSet):
    """By deployment and state."""

    deployment = UUIDInFilter(field_name="deployment_id")
    state = ChoiceInFilter(choices=BackfillState.choices)


def backfill_as_json(row: Row, counts: Mapping[str, int]) -> Row:
    """A row with `COLUMNS`, how far it has come, and what the rest of it waits for."""
    shown = {RENAMED.get(name, name): value for name, value in row.items()}
    shown["counts"] = counts
    about = {name: row[name] for name in WAITING_FACTS}
    shown["waiting_on"] = waiting_on(**about, counts=counts)
    return shown


class Backfills(Resource):
    """`/api/backfills`"""

    model = Backfill
    columns = COLUMNS
    filterset_class = BackfillFilter
    ordering_fields = ("created",)
    roles: ClassVar[Mapping[str, Membership.Role]] = dict.fromkeys(
        ("create", "preview", "partial_update", "pause", "resume", "cancel"), Membership.Role.OPERATOR
    )

    def shape(self, rows: Rows) -> Rows:
        counts = counts_of([row["id"] for row in rows])
        return [backfill_as_json(row, counts[row["id"]]) for row in rows]

    def create(self, request: Request) -> Response:
        """Make the backfill and its first runs: 201. A large one is PLANNING first, and has none yet.

        With an `id` that the client has made: 200 if it is there already, as when the answer was lost.
        """
        id = read(BackfillInput, request).get("id")
        if id and self.get_queryset().filter(id=id).exists():
            return Response(self.as_json(id))
        made = _understood(lambda: create_backfill(self._plan(request), created_by(request), id))
        return Response(self.as_json(made.id), status=201)

    @action(detail=False, methods=["post"])
    def preview(self, request: Request) -> Response:
        """What a create with this body would make: how many runs (about, of more than 10,000), the first and
        last 20, warnings."""
        return Response(preview_of(self._plan(request)))

    def partial_update(self, request: Request, pk: str) -> Response:
        """Change its concurrency, with effect at once; 409 once it has ended."""
        concurrency = read(ChangeInput, request)["concurrency"]
        return self._changed(lambda id: change_concurrency(id, concurrency))

    @action(detail=True, methods=["post"])
    def pause(self, request: Request, pk: str) -> Response:
        """Start no more of its runs; 409 once it has ended, and while it is planned."""
        return self._changed(pause_backfill)

    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: str) -> Response:
        """Go on after a pause; 409 once it has ended."""
        return self._changed(resume_backfill)

    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """Start no more, and cancel its runs that have not started; 409 once it has ended."""
        too = bool(read(CancelInput, request).get("running_too"))
        message = f"Its backfill was cancelled by {actor_of(request).name}."
        return self._changed(lambda id: cancel_backfill(id, message, running_too=too))

    @action(detail=True)
    def runs(self, request: Request, pk: str) -> Response:
        """Its runs, as a list of flow runs."""
        found = FlowRun.objects.filter(backfill_id=self.as_json(pk)["id"])
        rows = self.paginate_queryset(found.values(*FLOW_RUN_COLUMNS))
        return self.get_paginated_response([flow_run_as_json(row) for row in rows or []])

    def _changed(self, change: Callable[[Any], Backfill]) -> Response:
        backfill: Backfill = self.get_object()
        try:
            change(backfill.id)
        except NotPossibleError as error:
            raise Conflict(detail=str(error)) from error
        return Response(self.as_json(backfill.id))

    def _plan(self, request: Request) -> Plan:
        body = read(BackfillInput, request)
        return _understood(lambda: plan(_wish(self._deployment(request, body), body), database_time()))

    def _deployment(self, request: Request, body: Row) -> Deployment:
        actor = actor_of(request)
        found: Deployment | None = (
            Deployment.objects.for_actor(actor).filter(id=body["deployment_id"]).first()
        )
        if found is None:
            raise NotFound(f"There is no deployment {body['deployment_id']}, or you may not see it.")
        if not has_role(actor, Membership.Role.OPERATOR, found.workspace_id):
            raise PermissionDenied("You need the role 'operator' in the deployment's workspace.")
        return found


def _understood(make: Callable[[], Made]) -> Made:
    try:
        return make()
    except BackfillError as error:
        raise InvalidInput(error.errors) from error


def _wish(deployment: Deployment, body: Row) -> Wish:
    names = (
        "start",
        "end",
        "grid",
        "parameters",
        "slot_parameter",
        "newest_first",
        "concurrency",
        "priority",
        "tags",
    )
    given = {name: body[name] for name in names if name in body}
    which = Which(body.get("which") or Which.ALL)
    return Wish(deployment, schedule=_schedule(deployment, body), rule=_rule(body), which=which, **given)


def _schedule(deployment: Deployment, body: Row) -> Schedule | None:
    if "schedule_id" not in body:
        return None
    found: Schedule | None = deployment.schedules.filter(id=body["schedule_id"]).first()
    if found is None:
        raise InvalidInput([FieldError("schedule_id", "the deployment has no such schedule")])
    return found


def _rule(body: Row) -> SlotRule | None:
    zone = body.get("timezone") or "UTC"
    if body.get("cron"):
        return SlotRule(cron=body["cron"], timezone=zone)
    if "interval" in body:
        interval = timedelta(seconds=body["interval"])
        return SlotRule(interval=interval, anchor=body.get("anchor_date") or EPOCH, timezone=zone)
    return None


def preview_of(made: Plan) -> Row:
    """A plan as the API shows it."""
    return {
        "count": made.count,
        "is_estimate": not made.is_whole,
        "left_out": made.left_out,
        "first": _cells(made.first),
        "last": _cells(made.last),
        "slot_parameter": made.wish.slot_parameter or None,
        "warnings": made.warnings,
    }


def _cells(cells: Iterable[Cell]) -> Rows:
    return [{"slot": cell.slot, "parameters": cell.parameters} for cell in cells]
