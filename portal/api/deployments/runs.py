"""The runs of deployments: made, and handed to the Prefect process that serves them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from agents.pools import poll_served
from flows.catalog.parameters import storage_errors, validate
from flows.models import Deployment, Membership
from portal.access.actors import actor_of, created_by, workspaces_with_role
from portal.api.base.errors import Conflict, InvalidInput
from portal.api.base.resource import Row, read
from portal.api.deployments.inputs import RunInput, ServedInput
from portal.api.deployments.queues import moved_queue
from portal.api.deployments.schedules import DeploymentSchedules
from portal.api.flow_runs.parents import parent_of
from portal.api.flow_runs.shape import COLUMNS, details_as_json, flow_run_as_json, runs_as_json
from runs.create import NewRun, insert_runs
from runs.models import FlowRun
from runs.session import DjangoSession


class DeploymentRuns(DeploymentSchedules):
    """Mixed into the deployments' viewset."""

    roles: ClassVar[Mapping[str, Membership.Role]] = {
        **DeploymentSchedules.roles,
        "create_flow_run": Membership.Role.OPERATOR,
        "get_scheduled_flow_runs": Membership.Role.OPERATOR,
    }

    @action(detail=True, methods=["post"])
    def create_flow_run(self, request: Request, pk: str) -> Response:
        """Make a run: 201; 200 with the earlier run if the idempotency key was seen before.

        The keys of a run's own process are apart from those of others.
        409 if the parameters do not fit the flow's schema, as Prefect answers.
        """
        deployment: Deployment = self.get_object()
        body = read(RunInput, request)
        _check(deployment, body)
        new = _new_run(request, deployment, body)
        if insert_runs(DjangoSession(), [new]):
            return Response(_as_made(new), status=201)
        earlier = FlowRun.objects.filter(deployment=deployment, idempotency_key=new.idempotency_key)
        return Response(runs_as_json(earlier.values(*COLUMNS))[0])

    @action(detail=False, methods=["post"])
    def get_scheduled_flow_runs(self, request: Request) -> Response:
        """What a Prefect process that serves deployments may start, the earliest first, at most 200.

        Nothing of deployments that agents run.
        """
        body, actor = read(ServedInput, request), actor_of(request)
        mine = Deployment.objects.for_actor(actor).filter(
            id__in=body["deployment_ids"],
            workspace__in=workspaces_with_role(actor, Membership.Role.OPERATOR),
        )
        ids = list(mine.values_list("id", flat=True))
        found = poll_served(ids, body.get("scheduled_before"), body.get("limit"))
        rows = runs_as_json(FlowRun.objects.filter(id__in=found).values(*COLUMNS))
        return Response(sorted(rows, key=lambda row: found.index(row["id"])))


def _check(deployment: Deployment, body: Row) -> None:
    """Raises InvalidInput or Conflict."""
    if unfit := storage_errors("job_variables", body.get("job_variables", {})):
        raise InvalidInput(unfit)
    enforced = body.get("enforce_parameter_schema", deployment.enforce_parameter_schema)
    schema = deployment.parameter_openapi_schema if enforced else {}
    errors = validate(schema, {**deployment.parameters, **body.get("parameters", {})})
    if errors:
        raise Conflict(errors, detail=f"The parameters do not fit the flow '{deployment.flow.name}'.")


def _new_run(request: Request, deployment: Deployment, body: Row) -> NewRun:
    new = NewRun.of(
        deployment,
        parameters=body.get("parameters", {}),
        name=body.get("name") or None,
        scheduled_time=(body.get("state", {}).get("state_details") or {}).get("scheduled_time"),
        tags=body.get("tags", ()),
        idempotency_key=_key_of(request, body),
        created_by=created_by(request),
        job_variables=body.get("job_variables", {}),
        priority=body.get("priority", 0),
        parent_task_run_id=parent_of(request, body),
        labels=body.get("labels"),
    )
    if not body.get("work_queue_name"):
        return new
    return replace(new, work_queue_id=moved_queue(deployment, {"work_queue_name": body["work_queue_name"]}))


def _key_of(request: Request, body: Row) -> str | None:
    """The idempotency key. Those of a run's own process are its own: it gets no run that others made."""
    key: str | None = body.get("idempotency_key") or None
    run_id = actor_of(request).run_id
    return f"{run_id}:{key}" if key and run_id else key


def _as_made(new: NewRun) -> Row:
    """The run that was just made, without asking for the details of a state that we know."""
    shown = flow_run_as_json(FlowRun.objects.values(*COLUMNS).get(id=new.id))
    shown["state"] |= details_as_json({"scheduled_time": shown["expected_start_time"]}, new.id)
    return shown
