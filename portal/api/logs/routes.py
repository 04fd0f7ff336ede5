"""Log lines of a flow run, oldest first; and those that Prefect's clients send."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, cast
from uuid import UUID

import django_filters
import pydantic
from django.db.models import Q, QuerySet
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from flows.catalog.parameters import FieldError
from flows.models import Membership
from portal.access.actors import actor_of, home_workspace
from portal.api.base.errors import InvalidInput, problems_of
from portal.api.base.of_run import OfRun
from portal.api.base.parsers import ReportParser, StrictJSONParser, without_nul
from portal.api.filtering.pages import page_of, part_of
from portal.api.filtering.query import UUIDInFilter
from portal.api.logs.lines import COLUMNS, LINES, SORTS, lines_as_json, wanted_lines
from runs.client_reports import record_client_lines
from runs.logs import of_run
from runs.models import Log
from runs.session import DjangoSession


class LogFilter(django_filters.FilterSet):
    """`level`: at least this (as in Python's logging); `task_run`: of these; `after`: see `later_than`."""

    level = django_filters.NumberFilter(lookup_expr="gte", min_value=-32768, max_value=32767)
    task_run = UUIDInFilter(field_name="task_run_id")
    after = django_filters.CharFilter(method="later_than", max_length=64)

    def later_than(self, lines: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        """The lines behind the one with this id (to follow a run), or behind an ISO 8601 time."""
        last = lines.filter(id=_as_uuid(value)).first() if _as_uuid(value) else None
        if last is not None:
            return lines.filter(Q(timestamp__gt=last.timestamp) | Q(timestamp=last.timestamp, id__gt=last.id))
        try:
            when = datetime.fromisoformat(value.replace(" ", "+"))  # "+" in a query string is a blank
            return lines.filter(timestamp__gt=when if when.tzinfo else when.replace(tzinfo=UTC))
        except (ValueError, OverflowError):
            raise InvalidInput(
                [FieldError("after", "must be the id of a log line of this run, or an ISO 8601 time")]
            ) from None


def _as_uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


class Logs(OfRun):
    """`/api/logs`"""

    model = Log
    columns = ("id", "timestamp", "flow_run_id", "task_run_id", "level", "name", "message")
    filterset_class = LogFilter
    ordering = "timestamp"
    ordering_fields = ("timestamp",)
    max_limit = 1000
    parser_classes = (ReportParser,)  # a client sends up to 4 MB of lines at once
    roles: ClassVar[Mapping[str, Membership.Role]] = {
        "create": Membership.Role.OPERATOR,
        "filter": Membership.Role.VIEWER,
    }

    def create(self, request: Request) -> Response:
        """Store a list of lines: 201. Those of runs that the sender may not touch are left out."""
        try:
            sent = LINES.validate_json(without_nul(cast(bytes, request.data).decode("utf-8", "replace")))
        except pydantic.ValidationError as error:
            raise InvalidInput(problems_of(error)) from error
        workspace = home_workspace(actor_of(request), Membership.Role.OPERATOR)
        lines = [line for each in sent if (line := each.as_line())]
        with DjangoSession().transaction() as tx:
            record_client_lines(tx, workspace.id, lines)
        return Response(status=201)

    @action(detail=False, methods=["post"], parser_classes=[StrictJSONParser])
    def filter(self, request: Request) -> Response:
        """The lines that the filter means, at most 200 of them."""
        page = page_of(request.data, SORTS)
        lines = wanted_lines(part_of(request.data, "logs"), actor_of(request))
        return Response(lines_as_json(page.of(lines).values(*COLUMNS)))

    def get_queryset(self) -> QuerySet[Any]:
        return of_run(self.run)
