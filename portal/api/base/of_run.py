"""Lists that are asked for by run: `?flow_run=<id>` is required."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from flows.catalog.parameters import FieldError
from portal.access.actors import actor_of
from portal.api.base.errors import InvalidInput
from portal.api.base.resource import Listed
from runs.models import FlowRun


class OfRun(Listed):
    """What belongs to one flow run."""

    run: FlowRun

    def list(self, request: Request) -> Response:
        self.run = run_asked_for(request, "flow_run")
        return super().list(request)

    def get_queryset(self) -> QuerySet[Any]:
        found = super().get_queryset()
        return found.filter(flow_run=self.run) if self.action == "list" else found


def run_asked_for(request: Request, parameter: str) -> FlowRun:
    """The run that the query names. Raises InvalidInput without one, NotFound for a foreign one."""
    run_id = id_asked_for(request, parameter)
    run: FlowRun | None = FlowRun.objects.for_actor(actor_of(request)).filter(id=run_id).first()
    if run is None:
        raise NotFound(f"There is no flow run {run_id}, or you may not see it.")
    return run


def id_asked_for(request: Request, parameter: str) -> UUID:
    """The id in the query. Raises InvalidInput."""
    try:
        return UUID(request.query_params.get(parameter, ""))
    except ValueError:
        kind = parameter.removesuffix("_id").replace("_", " ")
        text = f"say which {kind}: ?{parameter}=<its id>"
        raise InvalidInput([FieldError(parameter, text)]) from None
