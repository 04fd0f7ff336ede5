"""Deployments: define them, find them by name, run them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar
from uuid import UUID

import django_filters
from django.db.models import QuerySet
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound, PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from agents.models.work_pool import DEFAULT_POOL
from agents.models.work_queue import DEFAULT_QUEUE
from agents.registry import BadQueueNameError, resolve
from flows.catalog.deployments import deploy
from flows.catalog.parameters import FieldError, storage_errors, validate
from flows.catalog.versions import NoSuchVersionError, roll_back
from flows.models import CollisionStrategy, Deployment, DeploymentVersion, Flow, Membership, Workspace
from portal.access.actors import actor_of, created_by, has_role, home_workspace
from portal.api.deployment_schedules import DeploymentSchedules, schedules_of
from portal.api.errors import Conflict, InvalidInput
from portal.api.fields import ObjectField, TagsField, TextField
from portal.api.filters import TagsFilter, TextInFilter, UUIDInFilter
from portal.api.flow_runs import COLUMNS as FLOW_RUN_COLUMNS
from portal.api.flow_runs import flow_run_as_json
from portal.api.resource import Row, Rows, read
from portal.api.schedules import ScheduleInput, spec_from
from runs.create import NewRun, insert_runs
from runs.models import FlowRun, TaskRun
from runs.models.flow_run import HIGHEST, LOWEST
from runs.quarantine import lift_quarantine
from runs.session import DjangoSession

COLUMNS = (
    "id", "created", "updated", "name", "description", "flow_id", "flow__name", "workspace_id",
    "entrypoint", "path", "parameters", "parameter_openapi_schema", "tags", "version", "version_number",
    "paused", "quarantined", "hand_back", "crash_retries", "crash_retry_delay_seconds", "job_variables",
    "enforce_parameter_schema", "concurrency_limit", "collision_strategy",
    "work_queue_id", "work_queue__name", "work_queue__work_pool_id", "work_queue__work_pool__name",
)  # fmt: skip
RENAMED = {
    "flow__name": "flow_name",
    "work_queue__name": "work_queue_name",
    "work_queue__work_pool_id": "work_pool_id",
    "work_queue__work_pool__name": "work_pool_name",
}

MOST_VERSIONS = 200
MOST_RUNS = 1_000_000


class DeploymentFilter(django_filters.FilterSet):
    """By flow, name, queue, tags and the paused switch."""

    flow = UUIDInFilter(field_name="flow_id")
    flow_name = TextInFilter(field_name="flow__name")
    name = TextInFilter()
    work_queue = UUIDInFilter(field_name="work_queue_id")
    tags = TagsFilter()
    paused = django_filters.BooleanFilter()


class CollisionInput(serializers.Serializer[Any]):
    """What becomes of a run that finds no free slot, as Prefect's clients say it."""

    collision_strategy = serializers.ChoiceField(
        choices=CollisionStrategy.choices, required=False, allow_null=True
    )


class DeploymentInput(serializers.Serializer[Any]):
    """The body of a create. The flow is named by `flow_id`, or by `flow_name` (made if missing)."""

    name = serializers.CharField(max_length=200)
    flow_id = serializers.UUIDField(required=False, allow_null=True)
    flow_name = TextField(max_length=200)
    entrypoint = serializers.CharField(max_length=500)
    path = TextField(max_length=1000)
    parameters = ObjectField(required=False, allow_null=True)
    parameter_openapi_schema = ObjectField(required=False, allow_null=True)
    schedules = serializers.ListField(child=ScheduleInput(), required=False, allow_null=True, max_length=100)
    work_pool_name = TextField(max_length=100)
    work_queue_name = TextField(max_length=100)
    tags = TagsField()
    description = TextField(max_length=100_000)
    version = TextField(max_length=100)
    paused = serializers.BooleanField(required=False, allow_null=True)
    hand_back = serializers.BooleanField(required=False, allow_null=True)
    crash_retries = serializers.IntegerField(required=False, allow_null=True, min_value=0, max_value=1000)
    crash_retry_delay_seconds = serializers.FloatField(required=False, allow_null=True, min_value=0)
    job_variables = ObjectField(required=False, allow_null=True)
    enforce_parameter_schema = serializers.BooleanField(required=False, allow_null=True)
    concurrency_limit = serializers.IntegerField(
        required=False, allow_null=True, min_value=0, max_value=MOST_RUNS
    )
    collision_strategy = serializers.ChoiceField(
        choices=CollisionStrategy.choices, required=False, allow_null=True
    )
    concurrency_options = CollisionInput(required=False, allow_null=True)


class FirstDetails(serializers.Serializer[Any]):
    """The details of a new run's state that matter here."""

    scheduled_time = serializers.DateTimeField(required=False, allow_null=True)


class FirstState(serializers.Serializer[Any]):
    """The state that a new run shall have: SCHEDULED at a time."""

    type = serializers.ChoiceField(choices=["SCHEDULED"], required=False, allow_null=True)
    state_details = FirstDetails(required=False, allow_null=True)


class RunInput(serializers.Serializer[Any]):
    """The body of create_flow_run."""

    name = TextField(max_length=200)
    parameters = ObjectField(required=False, allow_null=True)
    tags = TagsField()
    idempotency_key = TextField(max_length=500)
    state = FirstState(required=False, allow_null=True)
    work_queue_name = TextField(max_length=100)
    job_variables = ObjectField(required=False, allow_null=True)
    priority = serializers.IntegerField(required=False, allow_null=True, min_value=LOWEST, max_value=HIGHEST)
    parent_task_run_id = serializers.UUIDField(required=False, allow_null=True)


class RollbackInput(serializers.Serializer[Any]):
    """The body of rollback."""

    number = serializers.IntegerField(min_value=1, max_value=1_000_000_000)


class Deployments(DeploymentSchedules):
    """`/api/deployments`"""

    model = Deployment
    columns = COLUMNS
    filterset_class = DeploymentFilter
    roles: ClassVar[Mapping[str, Membership.Role]] = {
        **DeploymentSchedules.roles,
        "create": Membership.Role.EDITOR,
        "create_flow_run": Membership.Role.OPERATOR,
        "rollback": Membership.Role.EDITOR,
        "lift_quarantine": Membership.Role.OPERATOR,
    }

    def shape(self, rows: Rows) -> Rows:
        schedules = schedules_of([row["id"] for row in rows])
        return [
            {RENAMED.get(name, name): value for name, value in row.items()}
            | {
                "schedules": schedules[row["id"]],
                "concurrency_options": {"collision_strategy": row["collision_strategy"]},
            }
            for row in rows
        ]

    def create(self, request: Request) -> Response:
        """Create the deployment, or change the one with this flow and name: 201 or 200."""
        body = read(DeploymentInput, request)
        body = {**(body.pop("concurrency_options", None) or {}), **body}
        workspace, flow_name = self._flow_of(request, body)
        deployment, made = deploy(
            workspace,
            flow_name=flow_name,
            work_queue_id=_queue_of(workspace, body),
            schedules=[spec_from(each) for each in body["schedules"]] if "schedules" in body else None,
            **{name: body[name] for name in _PASSED_ON if name in body},
        )
        return Response(self.as_json(deployment.id), status=201 if made else 200)

    def _flow_of(self, request: Request, body: Row) -> tuple[Workspace, str]:
        actor = actor_of(request)
        if "flow_id" not in body:
            if not body.get("flow_name"):
                raise InvalidInput([FieldError("flow_id", "name the flow by flow_id or flow_name")])
            return home_workspace(actor, Membership.Role.EDITOR), body["flow_name"]
        flow: Flow | None = (
            Flow.objects.for_actor(actor).select_related("workspace").filter(id=body["flow_id"]).first()
        )
        if flow is None:
            raise NotFound(f"There is no flow {body['flow_id']}, or you may not see it.")
        if not has_role(actor, Membership.Role.EDITOR, flow.workspace_id):
            raise PermissionDenied("You need the role 'editor' in the flow's workspace to deploy.")
        return flow.workspace, flow.name

    @action(detail=False, url_path="name/(?P<flow_name>[^/]+)/(?P<name>[^/]+)")
    def by_name(self, request: Request, flow_name: str, name: str) -> Response:
        """A deployment by its flow's name and its own; "-" and "_" in the flow's name are alike."""
        found = named(self.get_queryset(), flow_name, name)
        if found is None:
            raise NotFound(f"There is no deployment '{flow_name}/{name}', or you may not see it.")
        return Response(self.as_json(found.id))

    @action(detail=True)
    def versions(self, request: Request, pk: str) -> Response:
        """The newest versions, newest first, at most 200."""
        found = DeploymentVersion.objects.filter(deployment_id=self.as_json(pk)["id"])
        rows = found.order_by("-number").values("id", "created", "number", "values")[:MOST_VERSIONS]
        return Response(list(rows))

    @action(detail=True, methods=["post"])
    def rollback(self, request: Request, pk: str) -> Response:
        """Make the deployment what it was in version `number`; 409 if it never had it."""
        found: Deployment = self.get_object()
        number = read(RollbackInput, request)["number"]
        try:
            deployment = roll_back(found.id, number)
        except NoSuchVersionError as error:
            raise Conflict(detail=str(error)) from error
        return Response(self.as_json(deployment.id))

    @action(detail=True, methods=["post"])
    def lift_quarantine(self, request: Request, pk: str) -> Response:
        """Let the runs of a deployment start again whose last runs all crashed; 409 if nothing held it."""
        found: Deployment = self.get_object()
        if not lift_quarantine(found.id):
            raise Conflict(detail="The deployment is not in quarantine.")
        return Response(self.as_json(found.id))

    @action(detail=True, methods=["post"])
    def create_flow_run(self, request: Request, pk: str) -> Response:
        """Make a run: 201; 200 with the earlier run if the idempotency key was seen before.

        The keys of a run's own process are apart from those of others.
        409 if the parameters do not fit the flow's schema, as Prefect answers.
        """
        deployment: Deployment = self.get_object()
        body = read(RunInput, request)
        parameters = body.get("parameters", {})
        schema = deployment.parameter_openapi_schema if deployment.enforce_parameter_schema else {}
        if unfit := storage_errors("job_variables", body.get("job_variables", {})):
            raise InvalidInput(unfit)
        errors = validate(schema, {**deployment.parameters, **parameters})
        if errors:
            raise Conflict(errors, detail=f"The parameters do not fit the flow '{deployment.flow.name}'.")
        new = NewRun.of(
            deployment,
            parameters=parameters,
            name=body.get("name") or None,
            scheduled_time=(body.get("state", {}).get("state_details") or {}).get("scheduled_time"),
            tags=body.get("tags", ()),
            idempotency_key=_key_of(request, body),
            created_by=created_by(request),
            job_variables=body.get("job_variables", {}),
            priority=body.get("priority", 0),
            parent_task_run_id=_parent_of(request, body),
        )
        if body.get("work_queue_name"):
            pool = deployment.work_queue.work_pool.name
            there = {"work_pool_name": pool, "work_queue_name": body["work_queue_name"]}
            new = replace(new, work_queue_id=_queue_of(deployment.workspace, there))
        if insert_runs(DjangoSession(), [new]):
            return Response(_flow_run(id=new.id), status=201)
        return Response(_flow_run(deployment=deployment, idempotency_key=new.idempotency_key))


_PASSED_ON = (
    "name", "entrypoint", "path", "parameters", "parameter_openapi_schema", "tags", "description",
    "version", "paused", "hand_back", "crash_retries", "crash_retry_delay_seconds", "job_variables",
    "enforce_parameter_schema", "concurrency_limit", "collision_strategy",
)  # fmt: skip


def named(deployments: QuerySet[Any], flow_name: str, name: str) -> Deployment | None:
    """The deployment `flow_name/name`; the exact flow name wins over its "-" / "_" twins."""
    if "\0" in flow_name + name:
        return None
    for spelling in dict.fromkeys([flow_name, flow_name.replace("_", "-"), flow_name.replace("-", "_")]):
        found: Deployment | None = deployments.filter(flow__name=spelling, name=name).first()
        if found is not None:
            return found
    return None


def _queue_of(workspace: Workspace, body: Row) -> UUID:
    """The queue that the body names, made if missing, always within `workspace`."""
    pool = body.get("work_pool_name") or DEFAULT_POOL
    queue = body.get("work_queue_name") or DEFAULT_QUEUE
    try:
        return resolve(f"{workspace.name}/{pool}/{queue}").id
    except BadQueueNameError as error:
        raise InvalidInput([FieldError("work_queue_name", str(error))]) from error


def _key_of(request: Request, body: Row) -> str | None:
    """The idempotency key. Those of a run's own process are its own: it gets no run that others made."""
    key: str | None = body.get("idempotency_key") or None
    run_id = actor_of(request).run_id
    return f"{run_id}:{key}" if key and run_id else key


def _parent_of(request: Request, body: Row) -> UUID | None:
    """The task run that stands for the new run in another flow. Raises InvalidInput for a foreign one."""
    parent: UUID | None = body.get("parent_task_run_id")
    if parent and not TaskRun.objects.for_actor(actor_of(request)).filter(id=parent).exists():
        raise InvalidInput([FieldError("parent_task_run_id", "there is no such task run")])
    return parent


def _flow_run(**lookup: Any) -> Row:
    return flow_run_as_json(FlowRun.objects.values(*FLOW_RUN_COLUMNS).get(**lookup))
