"""Run statistics: what ended, by the hour."""

from datetime import timedelta
from typing import Any

import django_filters
from django.db.models import QuerySet
from django.utils.timezone import now

from portal.api.base.resource import Listed
from portal.api.filtering.query import TextInFilter, UUIDInFilter
from runs.models import RunStats

MOST_DAYS = timedelta(days=7)  # what is read when nobody says since when


class RunStatsFilter(django_filters.FilterSet):
    """`deployment` and `state_type` exactly, `since` and `until` in ISO 8601; default: the last 7 days."""

    deployment = UUIDInFilter(field_name="deployment_id")
    state_type = TextInFilter()
    since = django_filters.IsoDateTimeFilter(field_name="hour", lookup_expr="gte")
    until = django_filters.IsoDateTimeFilter(field_name="hour", lookup_expr="lt")


class RunStatistics(Listed):
    """`/api/run_stats`"""

    model = RunStats
    columns = (
        "id", "hour", "deployment_id", "state_type",
        "runs", "run_seconds", "longest_run_seconds", "late_seconds",
    )  # fmt: skip
    filterset_class = RunStatsFilter
    ordering = "-hour"
    ordering_fields = ("hour",)

    def get_queryset(self) -> QuerySet[Any]:
        found = super().get_queryset()
        if "since" in self.request.query_params:
            return found
        return found.filter(hour__gte=now() - MOST_DAYS)
