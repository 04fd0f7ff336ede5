"""Artifacts of a flow run."""

import django_filters

from portal.api.filters import TextInFilter, UUIDInFilter
from portal.api.of_run import OfRun
from portal.api.resource import Resource
from runs.models import Artifact


class ArtifactFilter(django_filters.FilterSet):
    """By key and task run."""

    key = TextInFilter()
    task_run = UUIDInFilter(field_name="task_run_id")


class Artifacts(OfRun, Resource):
    """`/api/artifacts`"""

    model = Artifact
    columns = ("id", "created", "key", "type", "description", "data", "flow_run_id", "task_run_id")
    filterset_class = ArtifactFilter
    ordering = "created"
    ordering_fields = ("created",)
