"""Blocks: what there is, and how to replace it. What is in them is for runs, and for those who may deploy."""

from collections.abc import Mapping
from typing import Any, ClassVar, cast

import django_filters
from django.db.models import Q
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from flows.catalog.vault import UnreadableError, seal, unseal
from flows.models import Block, Membership
from flows.models.block import BLOCK_NAME_RULE
from portal.access.actors import actor_of, home_workspace, need_role
from portal.api.base.errors import Conflict
from portal.api.base.fields import ObjectField, storable
from portal.api.base.resource import Resource, read
from portal.api.filtering.query import TextInFilter


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
        "destroy_by_name": Membership.Role.EDITOR,
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

    @action(detail=False, url_path="type/(?P<type>[^/]+)/name/(?P<name>[^/]+)")
    def by_name(self, request: Request, type: str, name: str) -> Response:
        """One block with its document, secrets in the clear. Needs the role editor, as deploying does."""
        block = self._named(type, name)
        need_role(actor_of(request), Membership.Role.EDITOR, block.workspace_id)
        try:
            document = unseal(block.workspace_id, bytes(block.sealed))
        except UnreadableError as error:
            raise Conflict(detail=f"Block {block}: {error}") from error
        answer = Response({**self.as_json(block.pk), "document": document})
        answer["Cache-Control"] = "no-store"
        return answer

    @by_name.mapping.delete
    def destroy_by_name(self, request: Request, type: str, name: str) -> Response:
        self._named(type, name).delete()
        return Response(status=204)

    def _named(self, type: str, name: str) -> Block:
        wanted = Q(type=storable(type), name=storable(name))
        return cast(Block, self.find(f"block {type}/{name}", wanted))
