"""Limits of the task runs with a tag, as Prefect's clients know them: "db" is the limit named "tag:db"."""

from collections.abc import Mapping
from typing import Any, ClassVar, cast

from django.db.models import Q
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from flows.models import Membership
from portal.access.actors import actor_of, home_workspace
from portal.api.base.fields import storable
from portal.api.base.resource import Resource, Row, read
from portal.api.filtering.pages import page_of
from runs import limits
from runs.models import ConcurrencyLimit
from runs.session import DjangoSession

Role = Membership.Role
PREFIX = "tag:"
SORTS = {"NAME_ASC": ("name", "id")}
MOST_SLOTS = 1_000_000


class TagLimitInput(serializers.Serializer[Any]):
    """The body of a create."""

    tag = serializers.CharField(max_length=190)
    concurrency_limit = serializers.IntegerField(min_value=0, max_value=MOST_SLOTS)


class TagLimits(Resource):
    """Mixed into the viewset of limits."""

    roles: ClassVar[Mapping[str, Role]] = {
        "filter": Role.VIEWER,
        "destroy_by_tag": Role.EDITOR,
        "reset": Role.EDITOR,
    }

    def create_for_tag(self, request: Request) -> Response:
        """Make the limit of a tag, or change it: 201 or 200."""
        body = read(TagLimitInput, request)
        limit, made = ConcurrencyLimit.objects.update_or_create(
            workspace=home_workspace(actor_of(request), Role.EDITOR),
            name=PREFIX + body["tag"],
            defaults={"limit": body["concurrency_limit"], "active": True},
        )
        return Response(_as_json(self.as_json(limit.id)), status=201 if made else 200)

    @action(detail=False, methods=["post"])
    def filter(self, request: Request) -> Response:
        """The limits of tags, at most 200."""
        found = self.get_queryset().filter(name__startswith=PREFIX)
        rows = page_of(request.data, SORTS).of(found).values(*self.columns)
        return Response([_as_json(row) for row in self.shape(list(rows))])

    @action(detail=False, url_path="tag/(?P<tag>[^/]+)")
    def by_tag(self, request: Request, tag: str) -> Response:
        """The limit of a tag."""
        return Response(_as_json(self.as_json(self._of(tag).id)))

    @by_tag.mapping.delete
    def destroy_by_tag(self, request: Request, tag: str) -> Response:
        """Remove it: from now on it holds nobody back."""
        self._of(tag).delete()
        return Response(status=200)

    @action(detail=False, methods=["post"], url_path="tag/(?P<tag>[^/]+)/reset")
    def reset(self, request: Request, tag: str) -> Response:
        """Free all of its slots, whoever holds them."""
        limits.free_all(DjangoSession(), self._of(tag).id)
        return Response(status=200)

    def _of(self, tag: str) -> ConcurrencyLimit:
        """The limit. Raises NotFound also for one that the actor may not see."""
        found = self.find(f"limit for the tag '{tag}'", Q(name=PREFIX + storable(tag)))
        return cast(ConcurrencyLimit, found)


def _as_json(limit: Row) -> Row:
    return {
        "id": limit["id"],
        "created": limit["created"],
        "updated": limit["updated"],
        "tag": limit["name"].removeprefix(PREFIX),
        "concurrency_limit": limit["limit"],
        "active_slots": [each["task_run_id"] for each in limit["holders"] if each["task_run_id"]],
    }
