"""Flow runs of Prefect's clients: they make runs of their own, and change what they have told of one."""

from functools import partial
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from agents.models import WorkQueue
from agents.models.work_pool import CLAIMED_BY_AGENTS
from agents.models.work_queue import DEFAULT_QUEUE
from flows.catalog.parameters import FieldError, storage_errors
from flows.models import Flow, Membership
from flows.sdk.names import random_name
from flows.sdk.states import Pending
from portal.access.actors import actor_of, created_by, need_role
from portal.api.base.errors import Conflict, InvalidInput
from portal.api.base.fields import LabelsField, NumberField, ObjectField, TagsField, TextField
from portal.api.base.resource import Resource, Row, read
from portal.api.flow_runs.parents import parent_of
from portal.api.flow_runs.state_inputs import StateInput, state_from
from runs import announce
from runs.by_flow import Told, make_run_of_flow, root_of_subflow
from runs.create import NewRun
from runs.models import FlowRun
from runs.removal import delete_run
from runs.session import DjangoSession
from runs.transition import scheduled_time_of

STORED = ("parameters", "job_variables", "context")
TOLD = ("flow_version", "empirical_policy", "context")
# What the process that executes a run goes by: nobody else changes it under way.
OF_PROCESS = ("parameters", "job_variables", "flow_version", "empirical_policy", "infrastructure_pid")


class PolicyField(ObjectField):
    """Retries of a flow, and their delay in seconds."""

    NUMBERS = ("retries", "retry_delay", "max_retries", "retry_delay_seconds")

    def to_internal_value(self, data: Any) -> Any:
        policy = super().to_internal_value(data)
        number = NumberField(min_value=0, max_value=1_000_000_000)
        for name in self.NUMBERS:
            if policy.get(name) is not None:
                number.run_validation(policy[name])
        return {name: policy[name] for name in self.NUMBERS if name in policy}


class ChangeInput(serializers.Serializer[Any]):
    """What may be changed of a run."""

    name = TextField(max_length=200)
    tags = TagsField()
    parameters = ObjectField(required=False, allow_null=True)
    job_variables = ObjectField(required=False, allow_null=True)
    flow_version = TextField(max_length=100)
    empirical_policy = PolicyField(required=False, allow_null=True)
    infrastructure_pid = TextField(max_length=200)


class RunOfFlowInput(ChangeInput):
    """A run of a flow that its maker executes, or that a Prefect worker shall: then with its pool."""

    flow_id = serializers.UUIDField()
    state = StateInput(required=False, allow_null=True)
    labels = LabelsField(required=False, allow_null=True)
    idempotency_key = TextField(max_length=500)
    parent_task_run_id = serializers.UUIDField(required=False, allow_null=True)
    work_pool_name = TextField(max_length=100)
    work_queue_name = TextField(max_length=100)

    def to_internal_value(self, sent: Any) -> Any:
        # A serializer cannot have a field of the name "context".
        context = sent.get("context") or {}
        if not isinstance(context, dict):
            raise serializers.ValidationError({"context": "must be a JSON object."})
        return {**super().to_internal_value(sent), "context": context}


class PrefectFlowRuns(Resource):
    """What Prefect's clients do with flow runs that others do not."""

    def create_of_flow(self, request: Request) -> Response:
        """Make a run of a flow: 201, or 200 with the one that its idempotency key made. 409: no such flow."""
        body = read(RunOfFlowInput, request)
        flow = self._flow(request, body["flow_id"])
        if unfit := _unfit(body):
            raise InvalidInput(unfit)
        with DjangoSession().transaction() as tx:
            parent = parent_of(request, body)
            state = state_from(body["state"]) if "state" in body else Pending()
            new = NewRun(
                workspace_id=flow.workspace_id,
                flow_id=flow.id,
                name=body.get("name") or random_name(),
                parameters=body.get("parameters", {}),
                job_variables=body.get("job_variables", {}),
                tags=tuple(body.get("tags", ())),
                labels=body.get("labels"),
                idempotency_key=body.get("idempotency_key") or None,
                created_by=created_by(request),
                work_queue_id=_queue_of(request, flow, body),
                parent_task_run_id=parent,
                root_run_id=root_of_subflow(tx, parent) if parent else None,
                scheduled_time=scheduled_time_of(state),
                state=state,
            )
            told = Told(**{name: body[name] for name in TOLD if name in body})
            run_id, is_new = make_run_of_flow(tx, new, told)
        return Response(self.as_json(run_id), status=201 if is_new else 200)

    def _flow(self, request: Request, flow_id: UUID) -> Flow:
        actor = actor_of(request)
        flow: Flow | None = Flow.objects.for_actor(actor).filter(id=flow_id).first()
        if flow is None:
            raise Conflict(detail=f"There is no flow {flow_id}, or you may not see it.")
        need_role(actor, Membership.Role.OPERATOR, flow.workspace_id)
        return flow

    def partial_update(self, request: Request, pk: str) -> Response:
        """Change what the body names: 204. 409 for what its process goes by, while an agent executes it."""
        run: FlowRun = self.get_object()
        changes = read(ChangeInput, request)
        if unfit := _unfit(changes):
            raise InvalidInput(unfit)
        self._change(run, changes)
        return Response(status=204)

    @action(detail=True, methods=["patch"])
    def labels(self, request: Request, pk: str) -> Response:
        """Add labels, or change those of the same names: 204."""
        run: FlowRun = self.get_object()
        given = LabelsField().run_validation(request.data)
        with transaction.atomic():
            locked = FlowRun.objects.select_for_update().get(id=run.id)
            both = LabelsField().run_validation({**(locked.labels or {}), **given})
            self._change(locked, {"labels": both})
        return Response(status=204)

    def destroy(self, request: Request, pk: str) -> Response:
        """Delete the run with all that belongs to it: 204. 409 while an agent executes it."""
        run: FlowRun = self.get_object()
        delete_run(run.id, lambda locked: _refuse_if_owned(locked, "deleted"))
        return Response(status=204)

    def _change(self, run: FlowRun, changes: Row) -> None:
        if not changes:
            return
        if any(name in changes for name in OF_PROCESS):
            _refuse_if_owned(run, "changed like this")
        with transaction.atomic():
            FlowRun.objects.filter(id=run.id).update(**changes, version=F("version") + 1, updated=Now())
            now = FlowRun.objects.values_list("workspace_id", "version", "state_type", "state_name")
            changed = announce.RunChanged(run.id, *now.get(id=run.id))
            transaction.on_commit(partial(announce.publish, changed))


def _refuse_if_owned(run: FlowRun, what: str) -> None:
    if run.lease_expires is not None or (run.root_run and run.root_run.lease_expires is not None):
        raise Conflict(detail=f"This run cannot be {what}: it is {run.state_name}. Cancel it first.")


def _unfit(body: Row) -> list[FieldError]:
    return [each for name in STORED for each in storage_errors(name, body.get(name, {}))]


def _queue_of(request: Request, flow: Flow, body: Row) -> UUID | None:
    """The queue of a pool that Prefect workers poll; None: its maker executes it. Raises InvalidInput."""
    pool = body.get("work_pool_name")
    if not pool:
        return None
    name = body.get("work_queue_name") or DEFAULT_QUEUE
    found = WorkQueue.objects.for_actor(actor_of(request)).select_related("work_pool")
    queue: WorkQueue | None = found.filter(
        work_pool__workspace=flow.workspace_id, work_pool__name=pool, name=name
    ).first()
    if queue is None:
        raise InvalidInput([FieldError("work_pool_name", f"there is no queue '{name}' in a pool '{pool}'")])
    if queue.work_pool.type in CLAIMED_BY_AGENTS:
        text = f"'{pool}' is served by Portal's agents, which execute deployments: choose a Prefect pool"
        raise InvalidInput([FieldError("work_pool_name", text)])
    return queue.id
