"""The history of flow runs, as Prefect's clients ask for it."""

from rest_framework.request import Request
from rest_framework.response import Response

from portal.api.base.of_run import run_asked_for
from portal.api.base.resource import Resource, Rows
from portal.api.flow_runs.shape import details_as_json
from runs.models import FlowRunState

MOST_STATES = 1000


class FlowRunStates(Resource):
    """`/api/flow_run_states`"""

    model = FlowRunState
    columns = ("id", "flow_run_id", "type", "name", "message", "timestamp", "state_details")

    def list(self, request: Request) -> Response:
        """The states of `?flow_run_id=`, oldest first, the first 1,000."""
        run = run_asked_for(request, "flow_run_id")
        rows = FlowRunState.objects.filter(flow_run=run).order_by("timestamp", "id")
        return Response(self.shape(list(rows.values(*self.columns)[:MOST_STATES])))

    def shape(self, rows: Rows) -> Rows:
        return [
            {
                **{name: row[name] for name in ("id", "type", "name", "timestamp")},
                "message": row["message"] or None,
                **details_as_json(row["state_details"], row["flow_run_id"]),
            }
            for row in rows
        ]
