"""Task runs of a flow run, in the order in which they were made."""

import django_filters

from portal.api.fields import state_of
from portal.api.filters import ChoiceInFilter, TagsFilter
from portal.api.of_run import OfRun
from portal.api.resource import Resource, Rows
from runs.models import TaskRun
from runs.models.flow_run import StateType

COLUMNS = (
    "id", "created", "name", "flow_run_id", "task_key", "dynamic_key", "tags", "task_inputs",
    "state_id", "state_type", "state_name", "state_message", "state_timestamp",
    "start_time", "end_time", "total_run_time", "run_count", "attempt", "version",
)  # fmt: skip


class TaskRunFilter(django_filters.FilterSet):
    """By state and tags."""

    state_type = ChoiceInFilter(choices=StateType.choices)
    tags = TagsFilter()


class TaskRuns(OfRun, Resource):
    """`/api/task_runs`"""

    model = TaskRun
    columns = COLUMNS
    filterset_class = TaskRunFilter
    ordering = "id"
    ordering_fields = ("id",)
    max_limit = 1000

    def shape(self, rows: Rows) -> Rows:
        return [{**row, "state": state_of(row)} for row in rows]
