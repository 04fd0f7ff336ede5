"""The history of flow runs, as Prefect's clients ask for it."""

from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from flows.catalog.parameters import FieldError
from portal.access.actors import actor_of
from portal.api.base.errors import InvalidInput
from portal.api.base.resource import Resource, Rows
from portal.api.filtering.language import as_id
from portal.api.flow_runs.shape import details_as_json
from runs.models import FlowRun, FlowRunState

MOST_STATES = 1000


class FlowRunStates(Resource):
    """`/api/flow_run_states`"""

    model = FlowRunState
    columns = ("id", "flow_run_id", "type", "name", "message", "timestamp", "state_details")

    def list(self, request: Request) -> Response:
        """The states of `?flow_run_id=`, oldest first, the first 1,000."""
        try:
            run_id = as_id(request.query_params.get("flow_run_id", ""))
        except ValueError as error:
            raise InvalidInput([FieldError("flow_run_id", str(error))]) from error
        if not FlowRun.objects.for_actor(actor_of(request)).filter(id=run_id).exists():
            raise NotFound(f"There is no flow run {run_id}, or you may not see it.")
        rows = FlowRunState.objects.filter(flow_run_id=run_id).order_by("timestamp", "id")
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
