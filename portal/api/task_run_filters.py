"""Lists and counts of task runs, and their histories, as Prefect's clients ask for them."""

from typing import Any
from uuid import UUID

from django.db.models import F, QuerySet
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from flows.catalog.parameters import FieldError
from portal.access.actors import actor_of
from portal.api.errors import InvalidInput
from portal.api.prefect_fields import DEPLOYMENT, FLOW, FLOW_RUN, TASK_RUN
from portal.api.prefect_filter import Fields, condition, count_of, page_of, part_of, through, times
from portal.api.resource import Listed
from runs.models import TaskRun, TaskRunState

JOINED: dict[str, Fields] = {
    "task_runs": {**TASK_RUN, "expected_start_time": times("created")},
    "flow_runs": through("flow_run__", FLOW_RUN),
    "flows": through("flow_run__flow__", FLOW),
    "deployments": through("flow_run__deployment__", DEPLOYMENT),
}
SORTS = {
    "ID_DESC": ("-id",),
    "EXPECTED_START_TIME_ASC": ("id",),  # ids rise with the time of creation, and have an index
    "EXPECTED_START_TIME_DESC": ("-id",),
    "NEXT_SCHEDULED_START_TIME_ASC": ("id",),
    "NAME_ASC": ("name", "id"),
    "NAME_DESC": ("-name", "-id"),
    "END_TIME_DESC": (F("end_time").desc(nulls_last=True), "-id"),
}
MOST_STATES = 1000


class TaskRunFilterActions(Listed):
    """`POST /api/task_runs/filter` and `/count`"""

    @action(detail=False, methods=["post"])
    def filter(self, request: Request) -> Response:
        """The task runs that the filters mean, at most 200 of them."""
        page = page_of(request.data, SORTS)
        rows = page.of(self._wanted(request)).values(*self.columns)
        return Response(self.shape(list(rows)))

    @action(detail=False, methods=["post"])
    def count(self, request: Request) -> Response:
        """How many there are; more than 100,000 are not counted."""
        return Response(count_of(self._wanted(request)))

    def _wanted(self, request: Request) -> QuerySet[Any]:
        found: QuerySet[Any] = TaskRun.objects.for_actor(actor_of(request))
        for name, fields in JOINED.items():
            found = found.filter(condition(part_of(request.data, name), fields, name))
        return found


class TaskRunStates(Listed):
    """`GET /api/task_run_states/?task_run_id=`: the history of a task run, oldest first."""

    model = TaskRunState
    columns = ("id", "type", "name", "message", "timestamp", "flow_run_id", "task_run_id")

    def list(self, request: Request) -> Response:
        try:
            task_run_id = UUID(request.query_params.get("task_run_id", ""))
        except ValueError:
            raise InvalidInput(
                [FieldError("task_run_id", "say which task run: ?task_run_id=<its id>")]
            ) from None
        states = self.get_queryset().filter(task_run_id=task_run_id).order_by("timestamp", "sequence")
        return Response([_state_as_json(row) for row in states.values(*self.columns)[:MOST_STATES]])


def _state_as_json(row: dict[str, Any]) -> dict[str, Any]:
    details = {name: row.pop(name) for name in ("flow_run_id", "task_run_id")}
    return {**row, "data": None, "state_details": details}
