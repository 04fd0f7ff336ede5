"""Events: newest first, bounded in time; and a place to send one's own."""

from collections.abc import Mapping
from typing import Any, ClassVar

import django_filters
from django.db.models import QuerySet
from django.utils.timezone import now
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from flows.models import Membership
from portal.access.actors import actor_of, home_workspace
from portal.api.base.fields import ObjectField, TimeField
from portal.api.base.resource import Listed, read, understood
from portal.api.events.pages import COLUMNS, MOST_DAYS, EventPages
from portal.api.filtering.pages import part_of
from portal.api.filtering.query import TextInFilter
from portal.prefect.incoming import EVENTS, store
from runs.events import store_events
from runs.models import Event
from runs.session import DjangoSession


class EventFilter(django_filters.FilterSet):
    """`event` and `resource` exactly, `since` and `until` in ISO 8601; default: the last 7 days."""

    event = TextInFilter()
    resource = TextInFilter(field_name="resource_id")
    since = django_filters.IsoDateTimeFilter(field_name="occurred", lookup_expr="gte")
    until = django_filters.IsoDateTimeFilter(field_name="occurred", lookup_expr="lt")


class EventInput(serializers.Serializer[Any]):
    """One event."""

    id = serializers.UUIDField()
    occurred = TimeField()
    event = serializers.CharField(max_length=300)
    resource = ObjectField()
    related = serializers.ListField(child=ObjectField(), required=False, max_length=100, default=list)
    payload = ObjectField(required=False, default=dict)
    follows = serializers.UUIDField(required=False, allow_null=True)

    def validate_resource(self, resource: dict[str, Any]) -> dict[str, Any]:
        name = resource.get("prefect.resource.id")
        if not isinstance(name, str) or not 0 < len(name) <= 500:
            raise serializers.ValidationError("needs prefect.resource.id, a text of up to 500 characters.")
        return resource


class EventsInput(serializers.Serializer[Any]):
    """The body of a create."""

    events = serializers.ListField(child=EventInput(), min_length=1, max_length=1000)


class FilterInput(serializers.Serializer[Any]):
    """The body of filter; the filter itself is read by `EVENT_FILTER`."""

    limit = serializers.IntegerField(required=False, allow_null=True, min_value=1, max_value=200)


class Events(Listed):
    """`/api/events`"""

    model = Event
    columns = COLUMNS
    filterset_class = EventFilter
    ordering = "-occurred"
    ordering_fields = ("occurred",)
    roles: ClassVar[Mapping[str, Membership.Role]] = {
        "create": Membership.Role.OPERATOR,
        "filter": Membership.Role.VIEWER,
    }

    def get_queryset(self) -> QuerySet[Any]:
        found = super().get_queryset()
        if "since" in self.request.query_params:
            return found
        return found.filter(occurred__gte=now() - MOST_DAYS)

    def create(self, request: Request) -> Response:
        """Store events: 201 and how many were new. One whose id and time are known is not stored again.

        A bare list is what Prefect's clients send: 204, and what they say of task runs counts.
        """
        actor = actor_of(request)
        workspace = home_workspace(actor, Membership.Role.OPERATOR)
        if isinstance(request.data, list):
            if actor.run_id is not None:
                raise PermissionDenied("A run's token reports no task runs of others.")
            store(workspace.id, understood(EVENTS, request))
            return Response(status=204)
        events = read(EventsInput, request)["events"]
        stored = store_events(DjangoSession(), workspace.id, events)
        return Response({"stored": len(stored)}, status=201)

    @action(detail=False, methods=["post"])
    def filter(self, request: Request) -> Response:
        """A page of the events that Prefect's filter means, and the address of the next one."""
        limit = read(FilterInput, request).get("limit", 50)
        sent = part_of(request.data, "filter") or {}
        return self._page(request, EventPages(actor_of(request), sent, limit))

    @action(detail=False, methods=["get"], url_path="filter/next")
    def next_page(self, request: Request) -> Response:
        """The page that `next_page` of the one before names."""
        token = request.query_params.get("page-token", "")
        return self._page(request, EventPages.of_token(actor_of(request), token))

    def _page(self, request: Request, pages: EventPages) -> Response:
        events, token = pages.read()
        address = request.build_absolute_uri("/api/events/filter/next")
        following = f"{address}?page-token={token}" if token else None
        return Response({"events": events, "total": pages.total(), "next_page": following})
