"""Artifacts of a flow run."""

from typing import Any

import django_filters
from django.db.models import QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from portal.api.filters import TextInFilter, UUIDInFilter
from portal.api.of_run import run_asked_for
from portal.api.resource import Resource
from runs.models import Artifact


class ArtifactFilter(django_filters.FilterSet):
    """By key and task run."""

    key = TextInFilter()
    task_run = UUIDInFilter(field_name="task_run_id")


class Artifacts(Resource):
    """`/api/artifacts`"""

    model = Artifact
    columns = ("id", "created", "key", "type", "description", "data", "flow_run_id", "task_run_id")
    filterset_class = ArtifactFilter
    ordering = "created"
    ordering_fields = ("created",)

    def list(self, request: Request) -> Response:
        self.run = run_asked_for(request)
        return super().list(request)

    def get_queryset(self) -> QuerySet[Any]:
        found = super().get_queryset()
        return found.filter(flow_run=self.run) if self.action == "list" else found
