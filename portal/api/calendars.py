"""Calendars: business days and blackout windows that schedules refer to by name."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

import django_filters
from django.db.models import ProtectedError
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from flows.catalog.calendars import MOST_BLACKOUTS, MOST_HOLIDAYS, check_calendar
from flows.catalog.clocks import ScheduleError
from flows.models import Calendar, Membership
from flows.models.calendar import every_day
from portal.access.actors import actor_of, home_workspace
from portal.api.base.errors import Conflict
from portal.api.base.fields import TextField
from portal.api.base.resource import Resource, read
from portal.api.filtering.query import TextInFilter

Role = Membership.Role
NAMED = 5


class CalendarFilter(django_filters.FilterSet):
    """By name."""

    name = TextInFilter()


class CalendarInput(serializers.Serializer[Any]):
    """The body of a create. `weekdays`: 1 (Monday) to 7; without them every day counts."""

    name = serializers.CharField(max_length=100)
    timezone = TextField(max_length=64)
    weekdays = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=7),
        required=False, allow_null=True, allow_empty=False, max_length=7,
    )  # fmt: skip
    holidays = serializers.ListField(
        child=serializers.DateField(), required=False, allow_null=True, max_length=MOST_HOLIDAYS
    )
    blackouts = serializers.ListField(
        child=serializers.JSONField(), required=False, allow_null=True, max_length=MOST_BLACKOUTS
    )


class Calendars(Resource):
    """`/api/calendars`"""

    model = Calendar
    columns = ("id", "created", "updated", "name", "timezone", "weekdays", "holidays", "blackouts")
    filterset_class = CalendarFilter
    ordering = "name"
    roles: ClassVar[Mapping[str, Role]] = {"create": Role.EDITOR, "destroy": Role.EDITOR}

    def create(self, request: Request) -> Response:
        """Make the calendar of this name, or change it to this: 201 or 200. Coming runs follow it."""
        body = read(CalendarInput, request)
        workspace = home_workspace(actor_of(request), Role.EDITOR)
        values = {
            "timezone": body.get("timezone") or "UTC",
            "weekdays": sorted(set(body.get("weekdays", every_day()))),
            "holidays": sorted(set(body.get("holidays", []))),
            "blackouts": body.get("blackouts", []),
        }
        wanted = Calendar(workspace=workspace, name=body["name"], **values)
        wanted.clean_fields(exclude=["workspace"])
        try:
            check_calendar(wanted, datetime.now(UTC))
        except ScheduleError as error:
            raise ValidationError({"calendar": str(error)}) from error
        calendar, made = Calendar.objects.update_or_create(
            workspace=workspace, name=wanted.name, defaults=values
        )
        return Response(self.as_json(calendar.id), status=201 if made else 200)

    def destroy(self, request: Request, pk: str) -> Response:
        """Remove it; 409 while schedules refer to it."""
        try:
            self.get_object().delete()
        except ProtectedError as error:
            users = ", ".join(sorted(str(each) for each in list(error.protected_objects)[:NAMED]))
            raise Conflict(detail=f"Schedules refer to this calendar: {users}.") from error
        return Response(status=204)
