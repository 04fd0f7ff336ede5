"""Runs of scripts and of isolated processes: they create their run, and report what happens in it."""

from contextlib import suppress
from datetime import datetime
from typing import Annotated, Any, cast
from uuid import UUID

import pydantic
from django.db import IntegrityError
from pydantic import AwareDatetime, Base64Bytes, Field, TypeAdapter
from pydantic.dataclasses import dataclass
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from flows.catalog.deployments import get_or_create_flow
from flows.catalog.parameters import FieldError
from flows.models import Membership
from flows.sdk.names import random_name
from flows.sdk.recorder import Aborted, LogLine, NewArtifact, NewFlowRun, TaskRunEvent
from flows.sdk.states import Pending, State
from flows.sdk.wire import verdict_as_json
from portal.access.actors import actor_of, created_by, home_workspace, need_role
from portal.api.base.errors import Conflict, InvalidInput, problems_of
from portal.api.base.fields import NumberField, ObjectField, TagsField
from portal.api.base.moments import FIRST_YEAR, LAST_YEAR, moment
from portal.api.base.parsers import ReportParser
from portal.api.base.resource import read
from portal.api.flow_runs.of_flow import RunsOfFlows
from runs.batch import Batch
from runs.create import NewRun
from runs.models import FlowRun
from runs.report import ForeignPart, Report, accept_report, create_owned_run, is_time
from runs.results import NewResult, new_result
from runs.run_tokens import RunToken
from runs.session import DjangoSession
from runs.subflow import NewSubflow

HASH = "^[0-9a-f]{64}$"
TIMES = ("scheduled_time", "forked_time", "loaded_time")  # of a state's details


class NewRunInput(serializers.Serializer[Any]):
    """The body of a create. `lease_seconds`: the creator runs the flow and reports at least that often."""

    id = serializers.UUIDField(required=False, allow_null=True)
    flow_name = serializers.CharField(max_length=200)
    name = serializers.CharField(max_length=200, required=False, allow_null=True)
    parameters = ObjectField(required=False, allow_null=True)
    tags = TagsField()
    lease_seconds = NumberField(required=False, allow_null=True, min_value=5, max_value=3600)


@dataclass
class SentLine:
    """A log line, and the id that makes it one line however often it is sent."""

    id: UUID
    line: LogLine


@dataclass
class Proposal:
    """A state for the reported run, or for one of its subflows."""

    run_id: UUID
    state: State


@dataclass
class SentResult:
    """A result to keep: `hash` is the `key_hash` of the key, `data` the signed bytes in base64."""

    key: str
    hash: Annotated[str, Field(pattern=HASH)]
    data: Base64Bytes
    of_run: bool
    expires: AwareDatetime | None = None


@dataclass
class SentLock:
    """The lock of a result, and who holds it."""

    hash: Annotated[str, Field(pattern=HASH)]
    holder: str


@dataclass
class ReportInput:
    """The body of a report: see `flows.sdk.wire`."""

    attempt: int
    lease_seconds: float | None = None
    events: list[TaskRunEvent] | None = None
    logs: list[SentLine] | None = None
    artifacts: list[NewArtifact] | None = None
    begin: NewFlowRun | None = None
    proposal: Proposal | None = None
    results: list[SentResult] | None = None
    unlock: SentLock | None = None

    def as_report(self, run_id: UUID, workspace_id: UUID | None) -> Report:
        lines = [(each.id, each.line) for each in self.logs or ()]
        results = [_new_result(each, run_id, workspace_id) for each in self.results or ()]
        subflows = [NewSubflow(self.begin)] if self.begin else []
        batch = Batch(self.events or [], lines, self.artifacts or [], results, subflows)
        proposal = (self.proposal.run_id, self.proposal.state) if self.proposal else None
        unlock = (self.unlock.hash, self.unlock.holder) if self.unlock else None
        return Report(batch, proposal, self.lease_seconds, unlock)


def _new_result(sent: SentResult, run_id: UUID, workspace_id: UUID | None) -> NewResult:
    """Raises Aborted without a workspace: the run is gone, or its token has ended."""
    if workspace_id is None:
        raise Aborted(f"flow run {run_id} is owned by nobody here")
    of_run = run_id if sent.of_run else None
    return new_result(sent.key, sent.hash, sent.data, sent.expires, of_run, lambda: workspace_id)


REPORT = TypeAdapter(ReportInput)


class Reported(RunsOfFlows):
    """The part of `/api/flow_runs` that processes use which execute a run."""

    def create(self, request: Request) -> Response:
        """Make a run that its creator executes: 201, or 200 if it is there already.

        A body with `flow_id` comes from a Prefect client.
        """
        if isinstance(request.data, dict) and request.data.get("flow_id"):
            return self.create_of_flow(request)
        body = read(NewRunInput, request)
        workspace = home_workspace(actor_of(request), Membership.Role.OPERATOR)
        flow, _ = get_or_create_flow(workspace, body["flow_name"], ())
        given = {name: body[name] for name in ("id", "parameters") if name in body}
        new = NewRun(
            workspace_id=workspace.id,
            flow_id=flow.id,
            name=body.get("name") or random_name(),
            tags=tuple(body.get("tags", ())),
            created_by=created_by(request),
            state=Pending(),
            **given,
        )
        with DjangoSession().transaction() as tx:
            made = create_owned_run(tx, new, body.get("lease_seconds"))
        if not made and not FlowRun.objects.filter(id=new.id, workspace=workspace, flow=flow).exists():
            raise Conflict(detail=f"There is another flow run {new.id}.")
        return Response(self.as_json(new.id), status=201 if made else 200)

    @action(detail=True, methods=["post"], parser_classes=[ReportParser])
    def report(self, request: Request, pk: str) -> Response:
        """Task states, logs, artifacts, results, a subflow, a state: all or nothing, safe to repeat.

        409 when the attempt no longer owns the run: its process should stop. Results need the role editor:
        agents open what is found there.
        """
        token = request.auth if isinstance(request.auth, RunToken) else None
        run_id, workspace_id = (UUID(pk), token.workspace_id) if token else self._reported_run()
        if token and token.run_id != run_id:
            raise NotFound
        body = _read_report(cast(bytes, request.data))
        if body.results and workspace_id:
            need_role(actor_of(request), Membership.Role.EDITOR, workspace_id)
        try:
            report = body.as_report(run_id, workspace_id)
            with DjangoSession().transaction() as tx:
                attempt = token.attempt if token else body.attempt
                answer = accept_report(tx, run_id, attempt, report)
        except Aborted as aborted:
            raise Conflict(detail=str(aborted)) from aborted
        except ForeignPart as error:
            raise InvalidInput(detail=str(error)) from error
        except IntegrityError as error:
            raise InvalidInput(detail="The report speaks of a run that does not exist.") from error
        verdict = verdict_as_json(answer.verdict) if answer.verdict else None
        return Response({"verdict": verdict, "cancelling": answer.cancelling})

    def _reported_run(self) -> tuple[UUID, UUID]:
        run = self.get_object()
        return run.id, run.workspace_id


def _read_report(body: bytes) -> ReportInput:
    try:
        report = REPORT.validate_json(body)
    except pydantic.ValidationError as error:
        raise InvalidInput(problems_of(error)) from error
    if report.lease_seconds is not None and not 5 <= report.lease_seconds <= 3600:
        raise InvalidInput([FieldError("lease_seconds", "must be between 5 and 3600")])
    try:
        for time in _times_in(report):
            if not FIRST_YEAR < time.year < LAST_YEAR:  # a report may have thousands, nearly all of today
                moment(time)
    except ValueError as error:
        raise InvalidInput([FieldError("timestamp", f"a time {error}")]) from error
    details = report.proposal.state.details if report.proposal else {}
    wrong = [name for name in TIMES if details.get(name) is not None and not _is_moment(details[name])]
    if wrong:
        raise InvalidInput(
            [
                FieldError(
                    f"state.details.{wrong[0]}",
                    "must be an ISO 8601 time with a zone, in the years from 1900 to 2999",
                )
            ]
        )
    return report


def _is_moment(value: object) -> bool:
    """Whether it is the text of a time that can be stored."""
    with suppress(ValueError):
        return is_time(value) and bool(moment(datetime.fromisoformat(str(value))))
    return False


def _times_in(report: ReportInput) -> list[datetime]:
    """The times of a report that are stored as they come."""
    events, results = report.events or (), report.results or ()
    times = [
        time for each in events for time in (each.state.timestamp, each.start_time, each.end_time) if time
    ]
    times += [each.line.timestamp for each in report.logs or ()]
    return times + [each.expires for each in results if each.expires]
