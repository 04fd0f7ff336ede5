"""Flows."""

from collections.abc import Mapping
from typing import Any, ClassVar

import django_filters
from django.db.models import OuterRef, Q
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from flows.catalog.deployments import get_or_create_flow
from flows.models import Deployment, Flow, Membership
from portal.access.actors import actor_of, home_workspace
from portal.api.base.fields import LabelsField, TagsField, storable
from portal.api.base.resource import Resource, read
from portal.api.filtering.columns import DEPLOYMENT, FLOW, FLOW_RUN, TASK_RUN, WORK_POOL, WORK_QUEUE
from portal.api.filtering.language import Fields, Related, through
from portal.api.filtering.lists import BY_NAME, PrefectLists, Referring
from portal.api.filtering.query import TagsFilter, TextInFilter
from runs.models import FlowRun, TaskRun

FIELDS: Fields = {
    **FLOW,
    "deployment": Related(lambda: Deployment.objects.filter(flow=OuterRef("pk")), "is_null_"),
}


class FlowFilter(django_filters.FilterSet):
    """By name and tags."""

    name = TextInFilter()
    tags = TagsFilter()


class FlowInput(serializers.Serializer[Any]):
    """The body of a create."""

    name = serializers.CharField(max_length=200)
    tags = TagsField()
    labels = LabelsField(required=False, allow_null=True)


class Flows(PrefectLists, Resource):
    """`/api/flows`"""

    model = Flow
    joined: ClassVar[Mapping[str, Fields]] = {"flows": FIELDS}
    referring: ClassVar[Mapping[str, Referring]] = {
        "flow_runs": Referring(FlowRun, "flow", FLOW_RUN),
        "task_runs": Referring(TaskRun, "flow_run__flow", TASK_RUN),
        "deployments": Referring(Deployment, "flow", DEPLOYMENT),
        "work_pools": Referring(Deployment, "flow", through("work_queue__work_pool__", WORK_POOL)),
        "work_queues": Referring(Deployment, "flow", through("work_queue__", WORK_QUEUE)),
    }
    sorts = BY_NAME
    columns = ("id", "created", "updated", "name", "tags", "labels", "workspace_id")
    filterset_class = FlowFilter
    roles: ClassVar[Mapping[str, Membership.Role]] = {
        "create": Membership.Role.EDITOR,
        "filter": Membership.Role.VIEWER,
        "count": Membership.Role.VIEWER,
    }

    def create(self, request: Request) -> Response:
        """Make a flow, or find the one with this name: 201 or 200."""
        body = read(FlowInput, request)
        workspace = home_workspace(actor_of(request), Membership.Role.EDITOR)
        flow, made = get_or_create_flow(workspace, body["name"], body.get("tags", ()), body.get("labels"))
        return Response(self.as_json(flow.id), status=201 if made else 200)

    @action(detail=False, url_path="name/(?P<name>[^/]+)")
    def by_name(self, request: Request, name: str) -> Response:
        """One flow."""
        return Response(self.as_json(self.find(f"flow '{name}'", Q(name=storable(name))).id))
