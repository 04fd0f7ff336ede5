"""Work pools, by name: definitions, queues, and what Prefect workers ask for.

`kind` says who executes the runs: `agents`, `process` (agents, isolated) or `prefect` (workers that poll).
`type` is what Prefect's clients read: the workers' own type (process, docker, ...) for pools that they poll.
A pool that is made with such a type and without a `kind` is one for Prefect workers.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, cast

import django_filters
from django.db.models import Q
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound, PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from agents.models import Worker, WorkPool, WorkQueue
from agents.models.work_pool import LEAST_MEMORY_MB, check_environment
from agents.models.work_queue import DEFAULT_QUEUE
from agents.pools import InUseError, delete_pool, make_pool, note_heartbeat, poll
from agents.services.database import database_time
from flows.models import Membership
from flows.models.workspace import NAME_RULE
from portal.access.actors import actor_of, home_workspace
from portal.api.base.errors import Conflict
from portal.api.base.fields import NumberField, ObjectField, TextField, storable
from portal.api.base.resource import Resource, Row, Rows, given_of, is_forced, read, unless_taken
from portal.api.filtering.columns import WORK_POOL, WORK_QUEUE
from portal.api.filtering.language import Fields, condition
from portal.api.filtering.lists import BY_NAME, PrefectLists
from portal.api.filtering.pages import MOST_LISTED, page_of, part_of
from portal.api.filtering.query import TextInFilter
from portal.api.work_pools.queues import (
    BY_PRIORITY,
    MOST_RUNS,
    QUEUE_COLUMNS,
    NewQueueInput,
    PollInput,
    QueueInput,
    handed_out,
    queues_as_json,
    remove_queue,
    save_queue,
    served_queues,
)

Role = Membership.Role
Kind = WorkPool.Type
ISOLATION = ("python", "environment", "working_dir", "memory_mb", "cpu_seconds")
LIMITS = ("concurrency_limit", "memory_mb", "cpu_seconds")  # null takes them away
RESERVED = "prefect"  # names that begin so are Prefect's own


class PoolInput(serializers.Serializer[Any]):
    """What may be changed of a pool. A limit of null takes that limit away.

    `python` to `cpu_seconds` say how pools of the kind `process` start the processes of their runs.
    """

    description = TextField(max_length=10_000)
    is_paused = serializers.BooleanField(required=False, allow_null=True)
    base_job_template = ObjectField(required=False, allow_null=True)
    concurrency_limit = serializers.IntegerField(
        required=False, allow_null=True, min_value=0, max_value=MOST_RUNS
    )
    python = TextField(max_length=500)
    environment = ObjectField(required=False, allow_null=True, validators=[check_environment])
    working_dir = TextField(max_length=500)
    memory_mb = serializers.IntegerField(
        required=False, allow_null=True, min_value=LEAST_MEMORY_MB, max_value=MOST_RUNS
    )
    cpu_seconds = serializers.IntegerField(required=False, allow_null=True, min_value=1, max_value=MOST_RUNS)


class NewPoolInput(PoolInput):
    """A pool to be made."""

    name = serializers.CharField(max_length=100, validators=[NAME_RULE])
    type = TextField(max_length=100)
    kind = serializers.ChoiceField(choices=Kind.choices, required=False, allow_null=True)


class HeartbeatInput(serializers.Serializer[Any]):
    """The body of a worker's heartbeat."""

    name = serializers.CharField(max_length=200)
    heartbeat_interval_seconds = NumberField(required=False, allow_null=True, min_value=1, max_value=86_400)


class WorkPoolFilter(django_filters.FilterSet):
    """By name and kind."""

    name = TextInFilter()
    kind = TextInFilter(field_name="type")


class WorkPools(PrefectLists, Resource):
    """`/api/work_pools`"""

    model = WorkPool
    columns = (
        "id", "created", "updated", "name", "description", "type", "worker_type", "base_job_template",
        "paused", "concurrency_limit", *ISOLATION,
    )  # fmt: skip
    ordering = "name"
    filterset_class = WorkPoolFilter
    joined: ClassVar[Mapping[str, Fields]] = {"work_pools": WORK_POOL}
    sorts = BY_NAME
    lookup_value_regex = "[^/]+"
    roles: ClassVar[Mapping[str, Role]] = {
        "create": Role.EDITOR,
        "partial_update": Role.EDITOR,
        "destroy": Role.EDITOR,
        "filter": Role.VIEWER,
        "count": Role.VIEWER,
        "make_queue": Role.EDITOR,
        "filter_queues": Role.VIEWER,
        "change_queue": Role.EDITOR,
        "destroy_queue": Role.EDITOR,
        "get_scheduled_flow_runs": Role.OPERATOR,
        "heartbeat": Role.OPERATOR,
        "filter_workers": Role.VIEWER,
    }

    def shape(self, rows: Rows) -> Rows:
        ids = [row["id"] for row in rows]
        queues = WorkQueue.objects.filter(work_pool__in=ids).values_list("id", "work_pool_id", "name")
        served = served_queues() if ids else set()
        ready = {pool_id for queue_id, pool_id, _ in queues if queue_id in served}
        now = database_time()
        workers = Worker.objects.filter(work_pool__in=ids)
        ready |= {each.work_pool_id for each in workers if each.is_online(now)}
        default = {pool_id: queue_id for queue_id, pool_id, name in queues if name == DEFAULT_QUEUE}
        return [_as_json(row, row["id"] in ready, default.get(row["id"])) for row in rows]

    def _pool(self, name: str) -> WorkPool:
        """The pool of this name. Raises NotFound also for one that the actor may not see."""
        return cast(WorkPool, self.find(f"work pool '{name}'", Q(name=storable(name))))

    def _queue(self, pool: str, name: str) -> WorkQueue:
        found: WorkQueue | None = self._pool(pool).queues.filter(name=storable(name)).first()
        if found is None:
            raise NotFound(f"There is no queue '{name}' in the work pool '{pool}'.")
        return found

    def create(self, request: Request) -> Response:
        """Make a pool with its default queue: 201; 409 if there is one of this name."""
        body = read(NewPoolInput, request)
        if body["name"].startswith(RESERVED):
            raise PermissionDenied(f"Names that begin with '{RESERVED}' are reserved.")
        workspace = home_workspace(actor_of(request), Role.EDITOR)
        kind, worker_type = _kind_of(body)
        pool = WorkPool(workspace=workspace, name=body["name"], type=kind, worker_type=worker_type)
        _change(pool, body)
        with unless_taken(f"a work pool '{pool.name}'"):
            make_pool(pool)
        return Response(self.as_json(pool.id), status=201)

    def retrieve(self, request: Request, pk: str) -> Response:
        return Response(self.as_json(self._pool(pk).id))

    def partial_update(self, request: Request, pk: str) -> Response:
        """Change what the body names: 204."""
        pool = self._pool(pk)
        _change(pool, given_of(PoolInput, request))
        pool.save()
        return Response(status=204)

    def destroy(self, request: Request, pk: str) -> Response:
        """Delete the pool: 204. 409 if runs or deployments need it, unless `?force=true` moves them."""
        try:
            delete_pool(self._pool(pk), force=is_forced(request))
        except InUseError as error:
            raise Conflict(detail=str(error)) from error
        return Response(status=204)

    @action(detail=True, methods=["post"], url_path="queues")
    def make_queue(self, request: Request, pk: str) -> Response:
        """Make a queue of the pool: 201; 409 if there is one of this name."""
        queue = save_queue(WorkQueue(work_pool=self._pool(pk)), NewQueueInput, request)
        return Response(_queue_as_json(queue), status=201)

    @make_queue.mapping.get
    def queues(self, request: Request, pk: str) -> Response:
        """The queues of the pool, by priority."""
        return Response(_queues_of(self._pool(pk)))

    @action(detail=True, methods=["post"], url_path="queues/filter")
    def filter_queues(self, request: Request, pk: str) -> Response:
        """Those that the filter means, by priority, at most 200."""
        wanted = condition(part_of(request.data, "work_queues"), WORK_QUEUE, "work_queues")
        found = self._pool(pk).queues.filter(wanted)
        rows = page_of(request.data, BY_PRIORITY).of(found).values(*QUEUE_COLUMNS)
        return Response(queues_as_json(list(rows)))

    @action(detail=True, url_path="queues/(?P<name>[^/]+)")
    def queue(self, request: Request, pk: str, name: str) -> Response:
        """One queue of the pool."""
        return Response(_queue_as_json(self._queue(pk, name)))

    @queue.mapping.patch
    def change_queue(self, request: Request, pk: str, name: str) -> Response:
        """Change what the body names: 204."""
        save_queue(self._queue(pk, name), QueueInput, request)
        return Response(status=204)

    @queue.mapping.delete
    def destroy_queue(self, request: Request, pk: str, name: str) -> Response:
        """As DELETE of the queue by its id."""
        remove_queue(self._queue(pk, name), request)
        return Response(status=204)

    @action(detail=True, methods=["post"])
    def get_scheduled_flow_runs(self, request: Request, pk: str) -> Response:
        """What a Prefect worker may start, at most 200: by queue priority, then in the order of the queue.

        Empty for a pool that agents serve. 404 for a queue that is not there.
        """
        pool, body = self._pool(pk), read(PollInput, request)
        queues = _queues_named(pool, body.get("work_queue_names") or [])
        found = poll(pool, queues, body.get("scheduled_before"), body.get("limit"))
        return Response(handed_out(pool, found))

    @action(detail=True, methods=["post"], url_path="workers/heartbeat")
    def heartbeat(self, request: Request, pk: str) -> Response:
        """A worker is there: 204."""
        pool, body = self._pool(pk), read(HeartbeatInput, request)
        note_heartbeat(pool, body["name"], body.get("heartbeat_interval_seconds", 30))
        return Response(status=204)

    @action(detail=True, methods=["post"], url_path="workers/filter")
    def filter_workers(self, request: Request, pk: str) -> Response:
        """The workers of the pool, the last heard of first, at most 200."""
        workers = self._pool(pk).workers.order_by("-last_heartbeat_time")[:MOST_LISTED]
        now = database_time()
        return Response([_worker_as_json(worker, worker.is_online(now)) for worker in workers])


def _kind_of(body: Row) -> tuple[str, str]:
    """Our kind, and the type of the workers that poll."""
    kind, type = body.get("kind"), body.get("type") or Kind.AGENTS
    if kind is None:
        kind = Kind.AGENTS if type == Kind.AGENTS else Kind.PREFECT
    if kind != Kind.PREFECT:
        return kind, ""
    return kind, "" if type in {Kind.AGENTS, Kind.PREFECT} else type


def _change(pool: WorkPool, given: Row) -> None:
    for name in ("description", "base_job_template", "is_paused", "concurrency_limit", *ISOLATION):
        if name in given and (given[name] is not None or name in LIMITS):
            setattr(pool, "paused" if name == "is_paused" else name, given[name])


def _as_json(row: Row, is_ready: bool, default_queue_id: Any) -> Row:
    shown = {name: value for name, value in row.items() if name not in {"paused", "worker_type"}}
    return {
        **shown,
        "description": row["description"] or None,
        "kind": row["type"],
        "type": row["worker_type"] or row["type"],
        "is_paused": row["paused"],
        "status": "PAUSED" if row["paused"] else "READY" if is_ready else "NOT_READY",
        "default_queue_id": default_queue_id,
    }


def _queues_named(pool: WorkPool, names: list[str]) -> list[WorkQueue]:
    """The queues of these names, all of them without any. Raises NotFound."""
    found = pool.queues.filter(name__in=names) if names else pool.queues.all()
    queues = list(found)
    if missing := set(names) - {queue.name for queue in queues}:
        raise NotFound(f"There is no queue '{min(missing)}' in the work pool '{pool.name}'.")
    return queues


def _queues_of(pool: WorkPool) -> Rows:
    found = pool.queues.order_by("priority", "name")
    return queues_as_json(list(found.values(*QUEUE_COLUMNS)[:MOST_LISTED]))


def _queue_as_json(queue: WorkQueue) -> Row:
    return queues_as_json(list(WorkQueue.objects.filter(id=queue.id).values(*QUEUE_COLUMNS)))[0]


def _worker_as_json(worker: Worker, is_online: bool) -> Row:
    return {
        "id": worker.id,
        "created": worker.created,
        "updated": worker.updated,
        "name": worker.name,
        "work_pool_id": worker.work_pool_id,
        "last_heartbeat_time": worker.last_heartbeat_time,
        "heartbeat_interval_seconds": worker.heartbeat_interval_seconds,
        "status": "ONLINE" if is_online else "OFFLINE",
    }
