"""Lists and counts of task runs, and their histories, as Prefect's clients ask for them."""

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from django.db.models import F
from rest_framework.request import Request
from rest_framework.response import Response

from flows.catalog.parameters import FieldError
from portal.api.base.errors import InvalidInput
from portal.api.base.resource import Listed
from portal.api.filtering.columns import DEPLOYMENT, FLOW, FLOW_RUN, TASK_RUN
from portal.api.filtering.language import Fields, through, times
from portal.api.filtering.lists import PrefectLists
from runs.models import TaskRunState

MOST_STATES = 1000


class TaskRunLists(PrefectLists):
    """`POST /api/task_runs/filter` and `/count`"""

    joined: ClassVar[Mapping[str, Fields]] = {
        "task_runs": {**TASK_RUN, "expected_start_time": times("created")},
        "flow_runs": through("flow_run__", FLOW_RUN),
        "flows": through("flow_run__flow__", FLOW),
        "deployments": through("flow_run__deployment__", DEPLOYMENT),
    }
    sorts: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "ID_DESC": ("-id",),
        "EXPECTED_START_TIME_ASC": ("id",),  # ids rise with the time of creation, and have an index
        "EXPECTED_START_TIME_DESC": ("-id",),
        "NEXT_SCHEDULED_START_TIME_ASC": ("id",),
        "NAME_ASC": ("name", "id"),
        "NAME_DESC": ("-name", "-id"),
        "END_TIME_DESC": (F("end_time").desc(nulls_last=True), "-id"),
    }


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
