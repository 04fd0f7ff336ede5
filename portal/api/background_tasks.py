"""Background tasks: hand in calls of tasks, take and run them, and read what became of them.

What is in a call or a result is opaque here. Whoever hands it in has signed it with the keys of the workspace
(`/api/results/signing_keys`), and whoever gets it verifies that before opening it: who can only write to the
database, or stands between, cannot make anybody open something of theirs.
"""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet
from redis.exceptions import RedisError
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from agents.models import WorkQueue
from agents.models.work_queue import DEFAULT_QUEUE
from agents.registry import BadQueueNameError, resolve
from flows.catalog.parameters import FieldError
from flows.models import Membership, Workspace
from flows.sdk.sealing import answer_name, call_name
from portal import background_bell
from portal.access.actors import actor_of, home_workspace, need_role
from portal.api.base.errors import InvalidInput, Unavailable
from portal.api.base.fields import NumberField, TagsField, TextField, TimeField
from portal.api.base.resource import Resource, Row, read
from portal.api.logs.routes import LogFilter
from portal.api.task_runs.routes import COLUMNS, TaskRunFilter, TaskRuns
from runs import announce, background, errands
from runs.logs import of_background_task
from runs.models import Errand, TaskRun
from runs.models.flow_run import StateType
from runs.results import signer_of
from runs.session import DjangoSession

Role = Membership.Role
MOST_LINES = 1000
BELL_SECONDS = 5.0


class NewTaskInput(serializers.Serializer[Any]):
    """The body of a create. `content` is the packed call, signed, in base64."""

    id = serializers.UUIDField()
    task_key = serializers.CharField(max_length=500)
    name = serializers.CharField(max_length=200)
    tags = TagsField()
    queue = serializers.CharField(max_length=300, required=False, allow_null=True)
    for_agents = serializers.BooleanField(required=False)
    content = serializers.CharField()


class ClaimInput(serializers.Serializer[Any]):
    """The body of claim."""

    holder = serializers.UUIDField()
    worker = serializers.CharField(max_length=300)
    task_keys = serializers.ListField(
        child=serializers.CharField(max_length=500), min_length=1, max_length=1000
    )


class BellInput(serializers.Serializer[Any]):
    """The body of bell."""

    task_keys = serializers.ListField(
        child=serializers.CharField(max_length=500), min_length=1, max_length=1000
    )


class StateInput(serializers.Serializer[Any]):
    """A state that the task run entered, and its counters then."""

    id = serializers.UUIDField()
    type = serializers.ChoiceField(choices=StateType.choices)
    name = serializers.CharField(max_length=100)
    message = serializers.CharField(allow_blank=True)
    timestamp = TimeField()
    sequence = serializers.IntegerField(min_value=0, max_value=2**62)
    run_count = serializers.IntegerField(min_value=0, max_value=2**31 - 1)
    start_time = TimeField(allow_null=True)
    end_time = TimeField(allow_null=True)
    total_run_time = NumberField(min_value=0)


class LineInput(serializers.Serializer[Any]):
    """A log line; `id` makes one that is sent twice one line."""

    id = serializers.UUIDField()
    timestamp = TimeField()
    level = serializers.IntegerField(min_value=-32768, max_value=32767)
    name = serializers.CharField(max_length=200)
    message = serializers.CharField(allow_blank=True, trim_whitespace=False)


class ReportInput(serializers.Serializer[Any]):
    """The body of report. `content` is the packed outcome, signed, in base64: the task run is over."""

    holder = serializers.UUIDField()
    states = serializers.ListField(child=StateInput(), max_length=1000)
    lines = serializers.ListField(child=LineInput(), max_length=1000, required=False)
    content = serializers.CharField(required=False, allow_null=True)


class RefuseInput(serializers.Serializer[Any]):
    """The body of refuse."""

    holder = serializers.UUIDField()
    reason = TextField(max_length=10_000)
    is_final = serializers.BooleanField(required=False)


class RenewInput(serializers.Serializer[Any]):
    """The body of renew."""

    holder = serializers.UUIDField()
    ids = serializers.ListField(child=serializers.UUIDField(), max_length=1000)


class BackgroundTasks(Resource):
    """`/api/background_tasks`"""

    model = TaskRun
    columns = COLUMNS
    filterset_class = TaskRunFilter
    ordering = "-id"
    ordering_fields = ("id",)
    roles: ClassVar[Mapping[str, Role]] = {  # what is handed in is code for agents, as what is deployed
        "create": Role.EDITOR,
        "claim": Role.EDITOR,
        "bell": Role.EDITOR,
        "report": Role.EDITOR,
        "refuse": Role.EDITOR,
        "renew": Role.EDITOR,
        "cancel": Role.OPERATOR,
        "retry": Role.OPERATOR,
    }
    shape = TaskRuns.shape

    def get_queryset(self) -> QuerySet[Any]:
        """Of the workspace: they belong to no run. The process of a run finds by its id what it handed in."""
        found: QuerySet[Any] = TaskRun.objects.for_actor(replace(actor_of(self.request), run_id=None))
        return found.filter(flow_run=None)

    def create(self, request: Request) -> Response:
        """Hand in a call: 201, or 200 if this id is there already."""
        body = read(NewTaskInput, request)
        workspace = home_workspace(actor_of(request), Role.EDITOR)
        queue = _queue_in(workspace, body.get("queue", DEFAULT_QUEUE))
        payload = _signed(body, workspace, call_name(body["id"]))
        new = background.NewTask(
            id=body["id"],
            workspace_id=workspace.id,
            queue_id=queue.id,
            task_key=body["task_key"],
            name=body["name"],
            tags=body.get("tags", []),
            for_agents=body.get("for_agents", False),
            payload=payload,
        )
        with DjangoSession().transaction() as tx:
            made = background.create(tx, new)
            if made:
                tx.on_commit(lambda: background_bell.ring(workspace.id))
            if made and new.for_agents:
                tx.on_commit(lambda: announce.ring(queue.id))
        return Response(self.as_json(body["id"]), status=201 if made else 200)

    @action(detail=False, methods=["post"])
    def claim(self, request: Request) -> Response:
        """Take the oldest task of these keys: `{"task": null}` if there is none. It is leased for 8 s."""
        body = read(ClaimInput, request)
        workspace = home_workspace(actor_of(request), Role.EDITOR)
        holder = errands.Holder(body["holder"], None, body["worker"])
        with DjangoSession().transaction() as tx:
            taken = errands.claim_by_key(tx, holder, workspace.id, body["task_keys"])
        if taken is None:
            return Response({"task": None})
        found = {"id": taken.id, "name": taken.name, "task_key": taken.task_key, "tries": taken.tries}
        return Response({"task": {**found, "content": b64encode(taken.payload).decode()}})

    @action(detail=False, methods=["post"])
    def bell(self, request: Request) -> Response:
        """Wait up to 5 s for a task of these keys: `{"rung": true}` as soon as there may be one to claim."""
        body = read(BellInput, request)
        workspace = home_workspace(actor_of(request), Role.EDITOR)

        def is_there_one() -> bool:
            found = background.is_any_waiting(workspace.id, body["task_keys"])
            if not connection.in_atomic_block:
                connection.close()  # nobody keeps one while waiting
            return found

        try:
            return Response({"rung": background_bell.heard(workspace.id, BELL_SECONDS, is_there_one)})
        except RedisError as error:
            raise Unavailable(detail="Redis is away: ask for tasks without waiting for the bell.") from error
        except background_bell.TooManyError as error:
            raise Unavailable(detail="Too many wait for the bell: ask for tasks by the clock.") from error

    @action(detail=True, methods=["post"])
    def report(self, request: Request, pk: str) -> Response:
        """Store states and, at the end, the result: `{"held": false}` if somebody else holds the task."""
        workspace = self._workspace_of(pk)
        body = read(ReportInput, request)
        answer = None
        if body.get("content") is not None:
            answer = _signed(body, workspace, answer_name(UUID(pk)))
        with DjangoSession().transaction() as tx:
            held = background.report(
                tx, UUID(pk), body["holder"], body["states"], body.get("lines", []), answer
            )
        return Response({"held": held})

    @action(detail=True, methods=["post"])
    def refuse(self, request: Request, pk: str) -> Response:
        """Give a task back that cannot be opened; with `is_final`, it has crashed."""
        self._workspace_of(pk)
        body = read(RefuseInput, request)
        reason, is_final = body.get("reason", ""), body.get("is_final", False)
        with DjangoSession().transaction() as tx:
            held = background.refuse(tx, UUID(pk), body["holder"], reason, is_final)
        return Response({"held": held})

    @action(detail=False, methods=["post"])
    def renew(self, request: Request) -> Response:
        """Hold tasks for 8 s more: `{"held": [ids]}`."""
        body = read(RenewInput, request)
        mine = self.get_queryset().filter(id__in=body["ids"]).values_list("id", flat=True)
        with DjangoSession().transaction() as tx:
            return Response({"held": background.renew(tx, list(mine), body["holder"])})

    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """End a task: `{"cancelled": false}` if it is over. In a task worker it runs on, unheard."""
        workspace = self._workspace_of(pk)
        with DjangoSession().transaction() as tx:
            return Response({"cancelled": background.cancel(tx, UUID(pk), workspace.id)})

    @action(detail=True, methods=["post"])
    def retry(self, request: Request, pk: str) -> Response:
        """Make the call of a task that failed or crashed again: `{"retried": false}` if it did not, or its
        call is not kept any more (after 7 days)."""
        workspace = self._workspace_of(pk)
        with DjangoSession().transaction() as tx:
            retried = background.retry(tx, UUID(pk), workspace.id, actor_of(request).name)
            tx.on_commit(lambda: background_bell.ring(workspace.id))
        return Response({"retried": retried})

    @action(detail=True, methods=["get"])
    def logs(self, request: Request, pk: str) -> Response:
        """Its log lines, oldest first, 1,000 at most; filters `level` and `after` as in /api/logs."""
        lines = of_background_task(self._task_run(pk))
        found = LogFilter(request.query_params, queryset=lines).qs[:MOST_LINES]
        return Response({"results": list(found.values("id", "timestamp", "level", "name", "message"))})

    @action(detail=True, methods=["get"])
    def result(self, request: Request, pk: str) -> Response:
        """The packed outcome, signed, in base64; null while there is none, and after 7 days."""
        workspace = self._workspace_of(pk)
        need_role(actor_of(request), Role.OPERATOR, workspace.id)
        answer = Errand.objects.filter(id=pk).values_list("answer", flat=True).first()
        return Response({"content": None if answer is None else b64encode(answer).decode()})

    def _workspace_of(self, pk: str) -> Workspace:
        """Raises NotFound also for what the actor may not see."""
        workspace = self._task_run(pk).workspace
        assert workspace is not None, "task runs outside of flows have one"
        return workspace

    def _task_run(self, pk: str) -> TaskRun:
        task_run: TaskRun | None = self.get_queryset().filter(pk=pk).select_related("workspace").first()
        if task_run is None:
            raise NotFound(f"There is no background task {pk}, or you may not see it.")
        self.check_object_permissions(self.request, task_run)
        return task_run


def _queue_in(workspace: Workspace, name: str) -> WorkQueue:
    """The queue `[pool/]queue`, made if it is missing. Raises InvalidInput."""
    if name.count("/") > 1:
        raise InvalidInput([FieldError("queue", "tasks stay in their workspace: write [pool/]queue")])
    try:
        return resolve(name, workspace.name)
    except BadQueueNameError as error:
        raise InvalidInput([FieldError("queue", str(error))]) from error


def _signed(body: Row, workspace: Workspace, name: str) -> bytes:
    """The content as it came. Raises InvalidInput unless it is signed for `name`: nobody would open it."""
    try:
        content = b64decode(body["content"], validate=True)
    except ValueError as error:
        raise InvalidInput([FieldError("content", f"is not base64: {error}")]) from error
    if signer_of(workspace.id).verified(name, content) is None:
        text = "is not signed with a key of this workspace (/api/results/signing_keys)"
        raise InvalidInput([FieldError("content", text)])
    return content
