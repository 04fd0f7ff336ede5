"""Deployments: define them, find them by name, change and delete them."""

from collections.abc import Mapping
from typing import Any, ClassVar

import django_filters
from django.db.models import QuerySet
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound, PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from agents.pools import is_for_prefect
from flows.catalog.deployments import change_deployment, deploy
from flows.catalog.parameters import FieldError
from flows.catalog.versions import NoSuchVersionError, roll_back
from flows.models import Deployment, DeploymentVersion, Flow, Membership, Workspace
from portal.access.actors import actor_of, has_role, home_workspace
from portal.api.base.errors import Conflict, InvalidInput
from portal.api.base.resource import Row, Rows, given_of, read
from portal.api.deployments.inputs import (
    COLUMNS,
    DeploymentChange,
    DeploymentInput,
    RollbackInput,
    as_json,
    columns_of,
)
from portal.api.deployments.queues import agents_queue, moved_queue, prefect_queue
from portal.api.deployments.runs import DeploymentRuns
from portal.api.deployments.schedule_shape import spec_from
from portal.api.deployments.schedules import schedules_of
from portal.api.deployments.status import active_slots, is_ready
from portal.api.filtering.columns import DEPLOYMENT, FLOW, FLOW_RUN, TASK_RUN, WORK_POOL, WORK_QUEUE
from portal.api.filtering.language import Fields, through
from portal.api.filtering.lists import BY_NAME, PrefectLists, Referring
from portal.api.filtering.query import TagsFilter, TextInFilter, UUIDInFilter
from runs.models import FlowRun, TaskRun
from runs.quarantine import lift_quarantine
from runs.removal import delete_deployment, remove_planned

MOST_VERSIONS = 200
Role = Membership.Role


class DeploymentFilter(django_filters.FilterSet):
    """By flow, name, queue, tags and the paused switch."""

    flow = UUIDInFilter(field_name="flow_id")
    flow_name = TextInFilter(field_name="flow__name")
    name = TextInFilter()
    work_queue = UUIDInFilter(field_name="work_queue_id")
    tags = TagsFilter()
    paused = django_filters.BooleanFilter()


class Deployments(PrefectLists, DeploymentRuns):
    """`/api/deployments`"""

    model = Deployment
    columns = COLUMNS
    joined: ClassVar[Mapping[str, Fields]] = {
        "deployments": DEPLOYMENT,
        "flows": through("flow__", FLOW),
        "work_pools": through("work_queue__work_pool__", WORK_POOL),
        "work_pool_queues": through("work_queue__", WORK_QUEUE),
    }
    referring: ClassVar[Mapping[str, Referring]] = {
        "flow_runs": Referring(FlowRun, "deployment", FLOW_RUN),
        "task_runs": Referring(TaskRun, "flow_run__deployment", TASK_RUN),
    }
    sorts = BY_NAME
    filterset_class = DeploymentFilter
    roles: ClassVar[Mapping[str, Role]] = {
        **DeploymentRuns.roles,
        "filter": Role.VIEWER,
        "count": Role.VIEWER,
        "create": Role.EDITOR,
        "partial_update": Role.EDITOR,
        "destroy": Role.EDITOR,
        "pause_deployment": Role.EDITOR,
        "resume_deployment": Role.EDITOR,
        "rollback": Role.EDITOR,
        "lift_quarantine": Role.OPERATOR,
    }

    def shape(self, rows: Rows) -> Rows:
        schedules = schedules_of([row["id"] for row in rows])
        ready, slots = is_ready(rows), active_slots(rows)
        return [as_json(row, schedules[row["id"]], row["id"] in ready, slots[row["id"]]) for row in rows]

    def create(self, request: Request) -> Response:
        """Create the deployment, or change the one with this flow and name: 201 or 200.

        A body with `flow_id` comes from a Prefect client: Prefect's own processes run the deployment.
        """
        body = read(DeploymentInput, request)
        workspace, flow = self._flow_of(request, body)
        values = columns_of(body)
        if flow is None:
            values["work_queue_id"] = agents_queue(workspace, body)
        else:
            _refuse_if_run_by_agents(flow, body["name"])
            values["work_queue_id"] = prefect_queue(workspace, body)
            values["labels"] = {"prefect.flow.id": str(flow.id), **flow.labels, **values.get("labels", {})}
        deployment, made = deploy(
            workspace,
            flow_name=flow.name if flow else body["flow_name"],
            name=body["name"],
            schedules=[spec_from(each) for each in body["schedules"]] if "schedules" in body else None,
            **values,
        )
        return Response(self.as_json(deployment.id), status=201 if made else 200)

    def _flow_of(self, request: Request, body: Row) -> tuple[Workspace, Flow | None]:
        """Where to deploy; with the flow if the body names it by its id."""
        actor = actor_of(request)
        if "flow_id" not in body:
            if not body.get("flow_name"):
                raise InvalidInput([FieldError("flow_id", "name the flow by flow_id or flow_name")])
            return home_workspace(actor, Role.EDITOR), None
        flow: Flow | None = (
            Flow.objects.for_actor(actor).select_related("workspace").filter(id=body["flow_id"]).first()
        )
        if flow is None:
            raise NotFound(f"There is no flow {body['flow_id']}, or you may not see it.")
        if not has_role(actor, Role.EDITOR, flow.workspace_id):
            raise PermissionDenied("You need the role 'editor' in the flow's workspace to deploy.")
        return flow.workspace, flow

    def partial_update(self, request: Request, pk: str) -> Response:
        """Change what the body names: 204. New `schedules` take the place of all there are."""
        deployment: Deployment = self.get_object()
        body = given_of(DeploymentChange, request)
        values = columns_of(body)
        if body.get("work_pool_name") or body.get("work_queue_name"):
            values["work_queue_id"] = moved_queue(deployment, body)
        schedules = body.get("schedules")
        specs = None if schedules is None else [spec_from(each) for each in schedules]
        change_deployment(deployment.id, values, specs)
        return Response(status=204)

    def destroy(self, request: Request, pk: str) -> Response:
        """Delete it, with the runs that its schedules planned: 204. What else waits for it is cancelled."""
        delete_deployment(self.get_object())
        return Response(status=204)

    @action(detail=True, methods=["post"])
    def pause_deployment(self, request: Request, pk: str) -> Response:
        """Let its runs wait, and its schedules make none.

        What they planned of a deployment that Prefect's processes run goes: a script that ends pauses what it
        served, and must not find a heap of late runs when it serves again.
        """
        deployment = change_deployment(self.get_object().id, {"paused": True})
        if is_for_prefect(deployment):
            remove_planned(deployment.id)
        return Response(status=200)

    @action(detail=True, methods=["post"])
    def resume_deployment(self, request: Request, pk: str) -> Response:
        """The other way."""
        change_deployment(self.get_object().id, {"paused": False})
        return Response(status=200)

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


def _refuse_if_run_by_agents(flow: Flow, name: str) -> None:
    """A Prefect client must not take over what agents run: they would load its code for waiting runs."""
    present: Deployment | None = Deployment.objects.filter(flow=flow, name=name).first()
    if present is not None and not is_for_prefect(present):
        raise Conflict(
            detail=f"The deployment '{flow.name}/{name}' is Portal's own, and run by agents. "
            "Give yours another name, or delete that one first."
        )


def named(deployments: QuerySet[Any], flow_name: str, name: str) -> Deployment | None:
    """The deployment `flow_name/name`; the exact flow name wins over its "-" / "_" twins."""
    if "\0" in flow_name + name:
        return None
    for spelling in dict.fromkeys([flow_name, flow_name.replace("_", "-"), flow_name.replace("-", "_")]):
        found: Deployment | None = deployments.filter(flow__name=spelling, name=name).first()
        if found is not None:
            return found
    return None
