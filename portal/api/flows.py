"""Flows."""

from collections.abc import Mapping
from typing import Any, ClassVar

import django_filters
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from flows.catalog.deployments import get_or_create_flow
from flows.models import Flow, Membership
from portal.access.actors import actor_of, home_workspace
from portal.api.fields import LabelsField, TagsField
from portal.api.filters import TagsFilter, TextInFilter
from portal.api.resource import Resource, read


class FlowFilter(django_filters.FilterSet):
    """By name and tags."""

    name = TextInFilter()
    tags = TagsFilter()


class FlowInput(serializers.Serializer[Any]):
    """The body of a create."""

    name = serializers.CharField(max_length=200)
    tags = TagsField()
    labels = LabelsField()


class Flows(Resource):
    """`/api/flows`"""

    model = Flow
    columns = ("id", "created", "updated", "name", "tags", "labels", "workspace_id")
    filterset_class = FlowFilter
    roles: ClassVar[Mapping[str, Membership.Role]] = {"create": Membership.Role.EDITOR}

    def create(self, request: Request) -> Response:
        """Make a flow, or find the one with this name: 201 or 200."""
        body = read(FlowInput, request)
        workspace = home_workspace(actor_of(request), Membership.Role.EDITOR)
        flow, made = get_or_create_flow(workspace, body["name"], body.get("tags", ()), body.get("labels"))
        return Response(self.as_json(flow.id), status=201 if made else 200)
