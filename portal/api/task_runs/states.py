"""The history of task runs, as Prefect's clients ask for it."""

from rest_framework.request import Request
from rest_framework.response import Response

from portal.api.base.of_run import id_asked_for
from portal.api.base.resource import Resource, Rows
from runs.models import TaskRunState

MOST_STATES = 1000


class TaskRunStates(Resource):
    """`/api/task_run_states`"""

    model = TaskRunState
    columns = ("id", "type", "name", "message", "timestamp", "flow_run_id", "task_run_id")

    def list(self, request: Request) -> Response:
        """The states of `?task_run_id=`, oldest first, the first 1,000."""
        task_run_id = id_asked_for(request, "task_run_id")
        states = self.get_queryset().filter(task_run_id=task_run_id).order_by("timestamp", "sequence")
        return Response(self.shape(list(states.values(*self.columns)[:MOST_STATES])))

    def shape(self, rows: Rows) -> Rows:
        return [
            {
                **{name: row[name] for name in ("id", "type", "name", "timestamp")},
                "message": row["message"] or None,
                "data": None,
                "state_details": {name: row[name] for name in ("flow_run_id", "task_run_id")},
            }
            for row in rows
        ]
