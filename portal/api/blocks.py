"""Blocks: what there is, and how to replace it. What is in them leaves the server only for a run."""

from collections.abc import Mapping
from typing import Any, ClassVar

import django_filters
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from flows.catalog.vault import seal
from flows.models import Block, Membership
from flows.models.block import BLOCK_NAME_RULE
from portal.access.actors import actor_of, home_workspace
from portal.api.errors import Conflict
from portal.api.fields import ObjectField
from portal.api.filters import TextInFilter
from portal.api.resource import Resource, read


class BlockFilter(django_filters.FilterSet):
    """By type and name."""

    type = TextInFilter()
    name = TextInFilter()


class BlockBody(serializers.Serializer[Any]):
    """A block to be saved; `document` holds its fields, secrets in the clear."""

    type = serializers.CharField(max_length=200, validators=[BLOCK_NAME_RULE])
    name = serializers.CharField(max_length=200, validators=[BLOCK_NAME_RULE])
    document = ObjectField()
    overwrite = serializers.BooleanField(required=False, allow_null=True)


class Blocks(Resource):
    """`/api/blocks`"""

    model = Block
    columns = ("id", "created", "updated", "type", "name")
    filterset_class = BlockFilter
    roles: ClassVar[Mapping[str, Membership.Role]] = {
        "create": Membership.Role.EDITOR,
        "destroy": Membership.Role.EDITOR,
    }

    def create(self, request: Request) -> Response:
        """Save a block: 201, or 200 if it replaced one; 409 if there is one and not `overwrite`."""
        workspace = home_workspace(actor_of(request), Membership.Role.EDITOR)
        body = read(BlockBody, request)
        sealed = {"sealed": seal(workspace.id, body["document"])}
        known = {"workspace": workspace, "type": body["type"], "name": body["name"]}
        if body.get("overwrite"):
            block, made = Block.objects.update_or_create(**known, defaults=sealed)
        else:
            block, made = Block.objects.get_or_create(**known, defaults=sealed)
        if not made and not body.get("overwrite"):
            raise Conflict(detail=f"There is a block {block} already.")
        return Response(self.as_json(block.pk), status=201 if made else 200)

    def destroy(self, request: Request, pk: str) -> Response:
        self.get_object().delete()
        return Response(status=204)
