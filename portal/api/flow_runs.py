"""Flow runs: lists, details with what a run waits for, history, cancel, and Prefect's set_state."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

import django_filters
from django.http import Http404
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from agents.waiting import waiting_on
from flows.catalog.parameters import FieldError, validate
from flows.models import Membership
from flows.sdk.recorder import Status, Verdict
from flows.sdk.states import State, StateType
from portal.access.actors import actor_of
from portal.api.errors import Conflict, InvalidInput
from portal.api.fields import ObjectField, TextField, state_of
from portal.api.filters import ChoiceInFilter, TagsFilter, TextInFilter, UUIDInFilter
from portal.api.flow_run_filters import FlowRunFilterActions
from portal.api.reports import Reported
from portal.api.resource import Row, Rows, read
from portal.api.results import RunResultActions
from portal.api.run_inputs import RunInputActions
from runs.cancel import cancel
from runs.models import FlowRun, FlowRunState
from runs.models.flow_run import TERMINAL
from runs.models.flow_run import StateType as StateChoices
from runs.order import run_next
from runs.resume import resume, suspended_by
from runs.retrying import NoSuchTaskError, find_task_run, retry, run_again
from runs.session import DjangoSession
from runs.transition import transition

COLUMNS = (
    "id", "created", "updated", "name", "flow_id", "flow__name", "deployment_id", "deployment__name",
    "work_queue_id", "work_queue__name", "work_queue__work_pool_id", "work_queue__work_pool__name",
    "parameters", "job_variables", "tags", "idempotency_key", "created_by", "priority", "schedule_id",
    "state_id", "state_type", "state_name", "state_message", "state_timestamp",
    "expected_start_time", "start_time", "end_time", "total_run_time", "run_count", "crash_count",
    "attempt",
    "agent_id", "infrastructure_pid", "claimed_time", "forked_time", "loaded_time",
    "cpu_seconds", "peak_memory_bytes",
    "root_run_id", "parent_task_run_id", "version", "deployment_version", "workspace_id",
    "slot", "backfill_id", "rerun_of_id",
)  # fmt: skip
RENAMED = {
    "flow__name": "flow_name",
    "deployment__name": "deployment_name",
    "work_queue__name": "work_queue_name",
    "work_queue__work_pool_id": "work_pool_id",
    "work_queue__work_pool__name": "work_pool_name",
}
NEEDED_TO_EXPLAIN = ("deployment", "agent", "work_queue__work_pool__workspace")
HISTORY = ("id", "type", "name", "message", "timestamp", "attempt", "state_details")


def flow_run_as_json(row: Row) -> Row:
    """A row with `COLUMNS`, under Prefect's names."""
    shown = {RENAMED.get(name, name): value for name, value in row.items()}
    shown["auto_scheduled"] = shown.pop("schedule_id") is not None
    shown["infrastructure_pid"] = shown["infrastructure_pid"] or None
    shown["state"] = state_of(row)
    return shown


class FlowRunFilter(django_filters.FilterSet):
    """Several values, separated by commas, mean any of them; `tags` means all of them."""

    state_type = ChoiceInFilter(choices=StateChoices.choices)
    state_name = TextInFilter()
    deployment = UUIDInFilter(field_name="deployment_id")
    flow = UUIDInFilter(field_name="flow_id")
    work_queue = UUIDInFilter(field_name="work_queue_id")
    backfill = UUIDInFilter(field_name="backfill_id")
    tags = TagsFilter()


class StateInput(serializers.Serializer[Any]):
    """A state as clients send it."""

    type = serializers.ChoiceField(choices=StateChoices.choices)
    name = TextField(max_length=100)
    message = TextField(max_length=100_000)
    state_details = ObjectField(required=False, allow_null=True)


class SetStateInput(serializers.Serializer[Any]):
    """The body of set_state."""

    state = StateInput()
    force = serializers.BooleanField(required=False)


class ResumeInput(serializers.Serializer[Any]):
    """The body of resume."""

    run_input = ObjectField(required=False, allow_null=True)


class CancelInput(serializers.Serializer[Any]):
    """The body of cancel: with `force` the process gets no time to clean up."""

    force = serializers.BooleanField(required=False, allow_null=True)


class SuspendInput(serializers.Serializer[Any]):
    """The body of suspend: `timeout` is in seconds; without one the run waits for ever."""

    timeout = serializers.FloatField(required=False, allow_null=True, min_value=0, max_value=10 * 365 * 86400)
    pause_key = TextField(max_length=300)


class RetryInput(serializers.Serializer[Any]):
    """The body of retry: `from_task` is the name of a task, or the name or id of a task run."""

    from_task = TextField(max_length=500)


class AgainInput(serializers.Serializer[Any]):
    """The body of run_again: `parameters` take the place of the old ones of the same names."""

    parameters = ObjectField(required=False, allow_null=True)
    reuse_results = serializers.BooleanField(required=False, allow_null=True)
    name = TextField(max_length=200)


class FlowRuns(FlowRunFilterActions, RunInputActions, RunResultActions, Reported):
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
        "filter": Membership.Role.VIEWER,
        "count": Membership.Role.VIEWER,
        "lock_result": Membership.Role.EDITOR,
    }

    def shape(self, rows: Rows) -> Rows:
        return [flow_run_as_json(row) for row in rows]

    def retrieve(self, request: Request, pk: str) -> Response:
        """One run, and what it waits for while it neither runs nor is over."""
        shown = self.as_json(pk)
        run = FlowRun.objects.select_related(*NEEDED_TO_EXPLAIN).get(id=shown["id"])
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
        return Response(verdict_as_json(verdict))

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
        return Response(verdict_as_json(transition(DjangoSession(), run.id, state)))

    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: str) -> Response:
        """Let a paused run go on. The answer says what became of it; a refusal is an answer, not an error."""
        run: FlowRun = self.get_object()
        body = read(ResumeInput, request)
        verdict = resume(DjangoSession(), run.id, body.get("run_input"), actor_of(request).as_json())
        ended = verdict.state is not None and verdict.state.is_terminal()
        return Response(
            verdict_as_json(verdict), status=201 if verdict.status is Status.ACCEPT or ended else 200
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
        return Response(verdict_as_json(verdict), status=201)

    @action(detail=True, methods=["post"])
    def run_again(self, request: Request, pk: str) -> Response:
        """A new run of the same deployment: 201; 409 if its deployment is gone or parameters do not fit."""
        run: FlowRun = self.get_object()
        body = read(AgainInput, request)
        if run.deployment is None:
            raise Conflict(detail="This run cannot be made again: its deployment is gone.")
        parameters = {**run.parameters, **body.get("parameters", {})}
        if errors := validate(run.deployment.parameter_openapi_schema, parameters):
            raise Conflict(errors, detail=f"The parameters do not fit the flow '{run.flow.name}'.")
        reuse, name = bool(body.get("reuse_results")), body.get("name", "")
        new = run_again(run, parameters, actor_of(request), reuse_results=reuse, name=name)
        return Response(self.as_json(new.id), status=201)

    @action(detail=True, methods=["post"])
    def set_state(self, request: Request, pk: str) -> Response:
        """Propose a state. The answer says what became of it; a refusal is an answer, not an error."""
        run: FlowRun = self.get_object()
        body = read(SetStateInput, request)
        state = state_from(body["state"])
        verdict = transition(DjangoSession(), run.id, state, force=body.get("force", False))
        if verdict.state is None:
            raise Http404
        return Response(verdict_as_json(verdict), status=201 if verdict.status is Status.ACCEPT else 200)


def state_from(body: Mapping[str, Any]) -> State:
    """The state in a request, with a new id and the present time."""
    return State(
        StateType(body["type"]),
        name=body.get("name") or "",
        message=body.get("message") or "",
        details=details_from(body.get("state_details") or {}),
    )


def details_from(given: Mapping[str, Any]) -> dict[str, Any]:
    """The state details that clients may set; what only our own processes may say is left out."""
    details = {name: value for name, value in given.items() if name == "transition_id" and value}
    for name in ("scheduled_time", "pause_timeout"):
        if given.get(name) is not None:
            details[name] = serializers.DateTimeField().run_validation(given[name]).isoformat()
    return details | pause_details_from(given)


def pause_details_from(given: Mapping[str, Any]) -> dict[str, Any]:
    """What a PAUSED state may say. Raises ValidationError."""
    details: dict[str, Any] = {}
    if given.get("pause_key") is not None:
        details["pause_key"] = serializers.CharField(max_length=300).run_validation(given["pause_key"])
    if given.get("pause_reschedule"):
        details["pause_reschedule"] = True
    if given.get("run_input_keyset") is not None:
        keys = serializers.DictField(child=serializers.CharField(max_length=300))
        details["run_input_keyset"] = keys.run_validation(given["run_input_keyset"])
    return details


def verdict_as_json(verdict: Verdict) -> Row:
    """Prefect's OrchestrationResult."""
    details: Row = {"type": f"{verdict.status.value.lower()}_details"}
    if verdict.reason:
        details["reason"] = verdict.reason
    if verdict.status is Status.WAIT:
        details["delay_seconds"] = max(1, round(verdict.delay_seconds))
    return {"state": _state_as_json(verdict.state), "status": verdict.status, "details": details}


def _state_as_json(state: State | None) -> Row | None:
    if state is None:
        return None
    return {
        "id": state.id,
        "type": state.type,
        "name": state.name,
        "message": state.message or None,
        "timestamp": state.timestamp,
        "state_details": state.details,
    }
