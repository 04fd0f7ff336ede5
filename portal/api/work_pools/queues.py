"""Work queues, by id."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar
from uuid import UUID

import django_filters
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from agents.models import Agent, WorkPool, WorkQueue
from agents.pools import MOST_POLLED, InUseError, delete_queue, poll
from agents.registry import OFFLINE_AFTER
from agents.services.database import database_time
from flows.models import Membership
from flows.models.workspace import NAME_RULE
from portal.api.base.errors import Conflict
from portal.api.base.fields import TextField, TimeField
from portal.api.base.resource import Resource, Row, Rows, given_of, is_forced, read, unless_taken
from portal.api.filtering.columns import WORK_QUEUE
from portal.api.filtering.language import Fields
from portal.api.filtering.lists import PrefectLists
from portal.api.filtering.pages import Orders
from portal.api.filtering.query import TextInFilter
from portal.api.flow_runs.shape import COLUMNS as FLOW_RUN_COLUMNS
from portal.api.flow_runs.shape import runs_as_json
from runs.models import FlowRun
from runs.models.flow_run import StateType

Role = Membership.Role
MOST_RUNS = 1_000_000
POLLED_LATELY = timedelta(seconds=60)
BY_PRIORITY: Orders = {"PRIORITY_ASC": ("work_pool__name", "priority", "name", "id")}


class WorkQueueFilter(django_filters.FilterSet):
    """By name and by the name of the pool."""

    name = TextInFilter()
    work_pool_name = TextInFilter(field_name="work_pool__name")


class QueueInput(serializers.Serializer[Any]):
    """What may be changed of a queue. A `concurrency_limit` of null takes the limit away."""

    name = serializers.CharField(max_length=100, required=False, validators=[NAME_RULE])
    description = TextField(max_length=10_000)
    is_paused = serializers.BooleanField(required=False, allow_null=True)
    concurrency_limit = serializers.IntegerField(
        required=False, allow_null=True, min_value=0, max_value=MOST_RUNS
    )
    priority = serializers.IntegerField(required=False, allow_null=True, min_value=1, max_value=32767)


class NewQueueInput(QueueInput):
    """A queue to be made."""

    name = serializers.CharField(max_length=100, validators=[NAME_RULE])


QUEUE_COLUMNS = (
    "id", "created", "updated", "name", "description", "priority", "paused", "concurrency_limit",
    "last_polled", "work_pool_id", "work_pool__name", "work_pool__paused",
)  # fmt: skip


class PollInput(serializers.Serializer[Any]):
    """The body of get_scheduled_flow_runs."""

    work_queue_names = serializers.ListField(
        child=serializers.CharField(max_length=100), required=False, allow_null=True, max_length=1000
    )
    scheduled_before = TimeField(required=False, allow_null=True)
    limit = serializers.IntegerField(required=False, allow_null=True, min_value=1, max_value=MOST_POLLED)


class WorkQueues(PrefectLists, Resource):
    """`/api/work_queues`"""

    model = WorkQueue
    columns = QUEUE_COLUMNS
    filterset_class = WorkQueueFilter
    joined: ClassVar[Mapping[str, Fields]] = {"work_queues": WORK_QUEUE}
    sorts = BY_PRIORITY
    roles: ClassVar[Mapping[str, Role]] = {
        "partial_update": Role.EDITOR,
        "destroy": Role.EDITOR,
        "filter": Role.VIEWER,
        "count": Role.VIEWER,
        "get_runs": Role.OPERATOR,
    }

    def shape(self, rows: Rows) -> Rows:
        return queues_as_json(rows)

    def partial_update(self, request: Request, pk: str) -> Response:
        """Change what the body names: 204."""
        save_queue(self.get_object(), QueueInput, request)
        return Response(status=204)

    def destroy(self, request: Request, pk: str) -> Response:
        """Delete the queue: 204. 409 if runs or deployments need it, unless `?force=true` moves them."""
        remove_queue(self.get_object(), request)
        return Response(status=204)

    @action(detail=True)
    def status(self, request: Request, pk: str) -> Response:
        """Whether it is well: polled within a minute, or served by agents, and no run of it is late."""
        shown = self.as_json(pk)
        waiting = FlowRun.objects.filter(work_queue=shown["id"], state_type=StateType.SCHEDULED)
        late = waiting.filter(state_name="Late").count()
        return Response(
            {
                "healthy": shown["status"] == "READY" and not late,
                "late_runs_count": late,
                "last_polled": shown["last_polled"],
                "health_check_policy": {
                    "maximum_late_runs": 0,
                    "maximum_seconds_since_last_polled": POLLED_LATELY.total_seconds(),
                },
            }
        )

    @action(detail=True, methods=["post"])
    def get_runs(self, request: Request, pk: str) -> Response:
        """What a Prefect worker may start of this queue. Empty for one that agents serve."""
        queue: WorkQueue = self.get_object()
        body = read(PollInput, request)
        found = poll(queue.work_pool, [queue], body.get("scheduled_before"), body.get("limit"))
        return Response([each["flow_run"] for each in handed_out(queue.work_pool, found)])


def handed_out(pool: WorkPool, found: list[tuple[UUID, UUID]]) -> Rows:
    """The runs that a poll found, as (run, queue), in the shape in which workers read them."""
    rows = FlowRun.objects.filter(id__in=[run_id for run_id, _ in found]).values(*FLOW_RUN_COLUMNS)
    runs = {run["id"]: run for run in runs_as_json(rows)}
    return [
        {"work_pool_id": pool.id, "work_queue_id": queue_id, "flow_run": runs[run_id]}
        for run_id, queue_id in found
        if run_id in runs
    ]


def queues_as_json(rows: Rows) -> Rows:
    """Rows with `QUEUE_COLUMNS` in Prefect's shape."""
    served = served_queues() if rows else set()
    now = database_time() if rows else None
    return [_as_json(row, row["id"] in served or _was_polled(row, now)) for row in rows]


def served_queues() -> set[Any]:
    """The ids of the queues that agents serve now."""
    here = Agent.objects.filter(stopped=None, last_seen__gt=database_time() - OFFLINE_AFTER)
    return {queue_id for queues in here.values_list("queues", flat=True) for queue_id in queues}


def _was_polled(row: Row, now: Any) -> bool:
    return row["last_polled"] is not None and now - row["last_polled"] < POLLED_LATELY


def _as_json(row: Row, is_ready: bool) -> Row:
    paused, pool_paused = row["paused"], row["work_pool__paused"]
    shown = {name: value for name, value in row.items() if name not in {"paused", "work_pool__paused"}}
    shown["work_pool_name"] = shown.pop("work_pool__name")
    status = "PAUSED" if paused or pool_paused else "READY" if is_ready else "NOT_READY"
    return {**shown, "is_paused": paused, "status": status, "filter": None, "active_slots": None}


def save_queue(queue: WorkQueue, body: type[QueueInput], request: Request) -> WorkQueue:
    """Change a queue as the request's body says. 422 for what cannot be, 409 for a name that is taken."""
    given = given_of(body, request)
    if queue.pk and queue.created and given.get("name", queue.name) != queue.name:
        raise ValidationError({"name": "agents know the queue by its name: make another one."})
    for name, value in given.items():
        if value is not None or name == "concurrency_limit":
            setattr(queue, "paused" if name == "is_paused" else name, value)
    with unless_taken(f"a queue '{queue.name}' in this pool"):
        queue.save()
    return queue


def remove_queue(queue: WorkQueue, request: Request) -> None:
    """Delete a queue; 409 if it is needed and the request does not say `?force=true`."""
    try:
        delete_queue(queue, force=is_forced(request))
    except InUseError as error:
        raise Conflict(detail=str(error)) from error
