"""Flow runs: lists, details with what a run waits for, history, cancel, and Prefect's set_state."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar
from uuid import UUID

import django_filters
from django.http import Http404
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from agents.waiting import NEEDED, waiting_on
from flows.catalog.parameters import FieldError, validate
from flows.models import Membership
from flows.sdk.recorder import Status, Verdict
from portal.access.actors import actor_of
from portal.api.base.errors import Conflict, InvalidInput
from portal.api.base.fields import NumberField, ObjectField, TextField
from portal.api.base.resource import Row, Rows, read
from portal.api.filtering.query import ChoiceInFilter, TagsFilter, TextInFilter, UUIDInFilter
from portal.api.flow_runs.changes import FlowRunChanges
from portal.api.flow_runs.errands import ERRANDS, RunErrandActions
from portal.api.flow_runs.lists import FlowRunLists
from portal.api.flow_runs.reports import Reported
from portal.api.flow_runs.run_inputs import RunInputActions
from portal.api.flow_runs.shape import COLUMNS, flow_run_as_json, runs_as_json, state_as_json
from portal.api.flow_runs.state_inputs import SetStateInput, state_from
from portal.api.results import RunResultActions
from runs.cancel import cancel
from runs.models import FlowRun, FlowRunState
from runs.models.flow_run import TERMINAL
from runs.models.flow_run import StateType as StateChoices
from runs.order import run_next
from runs.resume import resume, suspended_by
from runs.retrying import NoSuchTaskError, find_task_run, retry, run_again
from runs.session import DjangoSession
from runs.transition import transition

HISTORY = ("id", "type", "name", "message", "timestamp", "attempt", "state_details")


class FlowRunFilter(django_filters.FilterSet):
    """Several values, separated by commas, mean any of them; `tags` means all of them."""

    state_type = ChoiceInFilter(choices=StateChoices.choices)
    state_name = TextInFilter()
    deployment = UUIDInFilter(field_name="deployment_id")
    flow = UUIDInFilter(field_name="flow_id")
    work_queue = UUIDInFilter(field_name="work_queue_id")
    backfill = UUIDInFilter(field_name="backfill_id")
    tags = TagsFilter()


class ResumeInput(serializers.Serializer[Any]):
    """The body of resume."""

    run_input = ObjectField(required=False, allow_null=True)


class CancelInput(serializers.Serializer[Any]):
    """The body of cancel: with `force` the process gets no time to clean up."""

    force = serializers.BooleanField(required=False, allow_null=True)


class SuspendInput(serializers.Serializer[Any]):
    """The body of suspend: `timeout` is in seconds; without one the run waits for ever."""

    timeout = NumberField(required=False, allow_null=True, min_value=0, max_value=10 * 365 * 86400)
    pause_key = TextField(max_length=300)


class RetryInput(serializers.Serializer[Any]):
    """The body of retry: `from_task` is the name of a task, or the name or id of a task run."""

    from_task = TextField(max_length=500)


class AgainInput(serializers.Serializer[Any]):
    """The body of run_again: `parameters` take the place of the old ones of the same names."""

    parameters = ObjectField(required=False, allow_null=True)
    reuse_results = serializers.BooleanField(required=False, allow_null=True)
    name = TextField(max_length=200)
    idempotency_key = TextField(max_length=500)


class FlowRuns(FlowRunLists, FlowRunChanges, RunErrandActions, RunInputActions, RunResultActions, Reported):
    """`/api/flow_runs`"""

    model = FlowRun
    columns = COLUMNS
    filterset_class = FlowRunFilter
    ordering_fields = ("created", "expected_start_time", "start_time", "end_time", "state_timestamp", "name")
    roles: ClassVar[Mapping[str, Membership.Role]] = {
        "create": Membership.Role.OPERATOR,
        "report": Membership.Role.OPERATOR,
        "cancel": Membership.Role.OPERATOR,
        "run_next": Membership.Role.OPERATOR,
        "set_state": Membership.Role.OPERATOR,
        "suspend": Membership.Role.OPERATOR,
        "resume": Membership.Role.OPERATOR,
        "retry": Membership.Role.OPERATOR,
        "run_again": Membership.Role.OPERATOR,
        "put_input": Membership.Role.OPERATOR,
        "delete_input": Membership.Role.OPERATOR,
        "filter_inputs": Membership.Role.VIEWER,
        "partial_update": Membership.Role.OPERATOR,
        "labels": Membership.Role.OPERATOR,
        "destroy": Membership.Role.EDITOR,
        "filter": Membership.Role.VIEWER,
        "count": Membership.Role.VIEWER,
        "lock_result": Membership.Role.EDITOR,
        **dict.fromkeys(ERRANDS, Membership.Role.OPERATOR),
    }

    def shape(self, rows: Rows) -> Rows:
        """Lists for people leave out the details of states, which cost a query."""
        return [flow_run_as_json(row) for row in rows] if self.action == "list" else runs_as_json(rows)

    def retrieve(self, request: Request, pk: str) -> Response:
        """One run, and what it waits for while it neither runs nor is over."""
        shown = self.as_json(pk)
        run = FlowRun.objects.select_related(*NEEDED).get(id=shown["id"])
        return Response({**shown, "waiting_on": waiting_on(run)})

    @action(detail=True)
    def states(self, request: Request, pk: str) -> Response:
        """The whole history, oldest first."""
        run = self.as_json(pk)
        rows = FlowRunState.objects.filter(flow_run_id=run["id"]).order_by("timestamp", "id")
        return Response([{**row, "message": row["message"] or None} for row in rows.values(*HISTORY)])

    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """Ask the run to stop, or end it at once with `force`. What never started is cancelled at once;
        409 if it is over already."""
        run: FlowRun = self.get_object()
        force = read(CancelInput, request).get("force", False)
        verdict = cancel(DjangoSession(), run.id, request.user.get_username(), force)
        state = verdict.state
        if state is None:
            raise Http404
        if state.type.value not in {"CANCELLING", "CANCELLED"} or run.state_type in TERMINAL:
            text = f"This run cannot be cancelled: it is {state.name}. {verdict.reason}"
            raise Conflict(detail=text.strip())
        return Response(verdict_as_json(verdict, run.id))

    @action(detail=True, methods=["post"])
    def run_next(self, request: Request, pk: str) -> Response:
        """Let the run go before all others of its queue once it is due; 409 if it waits in none."""
        run: FlowRun = self.get_object()
        if not run_next(DjangoSession(), run.id):
            text = f"This run cannot be put first: it is {run.state_name}, and waits in no queue."
            raise Conflict(detail=text)
        return Response(self.as_json(run.id))

    @action(detail=True, methods=["post"])
    def suspend(self, request: Request, pk: str) -> Response:
        """Take a running run from its process until somebody resumes it; it then begins anew."""
        run: FlowRun = self.get_object()
        body = read(SuspendInput, request)
        timeout = timedelta(seconds=body["timeout"]) if "timeout" in body else None
        state = suspended_by(actor_of(request), timeout, body.get("pause_key"))
        return Response(verdict_as_json(transition(DjangoSession(), run.id, state), run.id))

    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: str) -> Response:
        """Let a paused run go on. The answer says what became of it; a refusal is an answer, not an error."""
        run: FlowRun = self.get_object()
        body = read(ResumeInput, request)
        verdict = resume(DjangoSession(), run.id, body.get("run_input"), actor_of(request).as_json())
        ended = verdict.state is not None and verdict.state.is_terminal()
        return Response(
            verdict_as_json(verdict, run.id), status=201 if verdict.status is Status.ACCEPT or ended else 200
        )

    @action(detail=True, methods=["post"])
    def retry(self, request: Request, pk: str) -> Response:
        """Reopen a run that has ended: 201; 409 if it cannot be. From `from_task` on, all is done anew."""
        run: FlowRun = self.get_object()
        wanted = read(RetryInput, request).get("from_task")
        try:
            from_task = find_task_run(run.id, wanted) if wanted else None
        except NoSuchTaskError as error:
            raise InvalidInput([FieldError("from_task", str(error))]) from error
        verdict = retry(DjangoSession(), run.id, actor_of(request), from_task=from_task)
        if verdict.status is not Status.ACCEPT:
            raise Conflict(detail=f"This run cannot be retried: {verdict.reason}.")
        return Response(verdict_as_json(verdict, run.id), status=201)

    @action(detail=True, methods=["post"])
    def run_again(self, request: Request, pk: str) -> Response:
        """A new run of the same deployment: 201; 409 if its deployment is gone or parameters do not fit.

        With an idempotency key that the deployment has seen, the run that it made then.
        """
        run: FlowRun = self.get_object()
        body = read(AgainInput, request)
        if run.deployment is None:
            raise Conflict(detail="This run cannot be made again: its deployment is gone.")
        parameters = {**run.parameters, **body.get("parameters", {})}
        if errors := validate(run.deployment.parameter_openapi_schema, parameters):
            raise Conflict(errors, detail=f"The parameters do not fit the flow '{run.flow.name}'.")
        new = run_again(
            run,
            parameters,
            actor_of(request),
            reuse_results=bool(body.get("reuse_results")),
            name=body.get("name", ""),
            idempotency_key=body.get("idempotency_key") or None,
        )
        return Response(self.as_json(new.id), status=201)

    @action(detail=True, methods=["post"])
    def set_state(self, request: Request, pk: str) -> Response:
        """Propose a state. The answer says what became of it; a refusal is an answer, not an error.

        201 if the run entered a state, that or another, 200 if it stays in the one it has.
        """
        run: FlowRun = self.get_object()
        body = read(SetStateInput, request)
        state = state_from(body["state"])
        verdict = transition(DjangoSession(), run.id, state, force=body.get("force", False))
        if verdict.state is None:
            raise Http404
        is_new = verdict.status is Status.ACCEPT or verdict.state.id != run.state_id
        return Response(verdict_as_json(verdict, run.id), status=201 if is_new else 200)


def verdict_as_json(verdict: Verdict, run_id: UUID) -> Row:
    """Prefect's OrchestrationResult."""
    details: Row = {"type": f"{verdict.status.value.lower()}_details"}
    if verdict.reason:
        details["reason"] = verdict.reason
    if verdict.status is Status.WAIT:
        details["delay_seconds"] = max(1, round(verdict.delay_seconds))
    state = state_as_json(verdict.state, run_id) if verdict.state else None
    return {"state": state, "status": verdict.status, "details": details}
