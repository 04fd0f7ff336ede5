"""Log lines of a flow run, oldest first."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import django_filters
from django.db.models import Q, QuerySet

from flows.catalog.parameters import FieldError
from portal.api.errors import InvalidInput
from portal.api.filters import UUIDInFilter
from portal.api.of_run import OfRun
from runs.logs import of_run
from runs.models import Log


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

    def get_queryset(self) -> QuerySet[Any]:
        return of_run(self.run)
