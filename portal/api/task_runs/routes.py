"""Task runs of a flow run, in the order in which they were made; and those that Prefect's clients make."""

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar, cast
from uuid import UUID

import django_filters
from django.utils.timezone import now
from pydantic import TypeAdapter
from pydantic.dataclasses import dataclass
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from flows.models import Membership
from flows.sdk.ids import uuid7
from flows.sdk.states import StateType
from portal.access.actors import actor_of, home_workspace
from portal.api.base.errors import Conflict
from portal.api.base.fields import estimates, state_of
from portal.api.base.of_run import OfRun
from portal.api.base.resource import Resource, Row, Rows, understood
from portal.api.filtering.query import ChoiceInFilter, TagsFilter
from portal.api.task_runs.lists import TaskRunLists
from portal.prefect.incoming import TASK_RUN_PART, StatePart, TaskRunPart, entered
from runs.client_reports import DETAILS, add_task_run, record_task_states
from runs.models import TaskRun
from runs.models.flow_run import TERMINAL
from runs.models.flow_run import StateType as StateChoices
from runs.session import DjangoSession

COLUMNS = (
    "id", "created", "name", "flow_run_id", "task_key", "dynamic_key", "tags", "task_inputs",
    "state_id", "state_type", "state_name", "state_message", "state_timestamp",
    "start_time", "end_time", "total_run_time", "run_count", "attempt", "version", "client_details",
)  # fmt: skip


class TaskRunFilter(django_filters.FilterSet):
    """By state and tags."""

    state_type = ChoiceInFilter(choices=StateChoices.choices)
    tags = TagsFilter()


@dataclass
class NewTaskRunInput(TaskRunPart):
    """The body of a create; `flow_run_id` null: a task outside of flows."""

    id: UUID | None = None
    flow_run_id: UUID | None = None
    state: StatePart | None = None


@dataclass
class SetTaskStateInput:
    """The body of set_state."""

    state: StatePart


NEW_TASK_RUN = TypeAdapter(NewTaskRunInput)
SET_STATE = TypeAdapter(SetTaskStateInput)


class TaskRuns(TaskRunLists, OfRun, Resource):
    """`/api/task_runs`"""

    model = TaskRun
    columns = COLUMNS
    filterset_class = TaskRunFilter
    ordering = "id"
    ordering_fields = ("id",)
    max_limit = 1000
    roles: ClassVar[Mapping[str, Membership.Role]] = {
        "create": Membership.Role.OPERATOR,
        "set_state": Membership.Role.OPERATOR,
        "filter": Membership.Role.VIEWER,
        "count": Membership.Role.VIEWER,
    }

    def shape(self, rows: Rows) -> Rows:
        return [task_run_as_json(row) for row in rows]

    def create(self, request: Request) -> Response:
        """Make a task run: 201, or 200 with the one that is known under its keys.

        Prefect's clients do so for subflows, and for tasks that are to run later. All others they tell of by
        events.
        """
        body = understood(NEW_TASK_RUN, request)
        workspace = home_workspace(actor_of(request), Membership.Role.OPERATOR)
        state, said = body.state or StatePart(StateType.PENDING), cast(Row, request.data)
        new = entered(uuid7(), body.id or uuid7(), body.flow_run_id, now(), body, state, said)
        with DjangoSession().transaction() as tx:
            added = add_task_run(tx, workspace.id, new)
        if added is None:
            raise Conflict(detail="There is no such flow run, or an agent of Portal reports its tasks.")
        id, made = added
        return Response(self.as_json(id), status=201 if made else 200)

    @action(detail=True, methods=["post"])
    def set_state(self, request: Request, pk: str) -> Response:
        """Let a task run enter a state. Only for those that Prefect's clients report: others are 409."""
        row = self.as_json(pk)
        state = understood(SET_STATE, request).state
        workspace = home_workspace(actor_of(request), Membership.Role.OPERATOR)
        task_run = _entering(TASK_RUN_PART.validate_python(row), state.type)
        new = entered(uuid7(), row["id"], row["flow_run_id"], now(), task_run, state, row)
        with DjangoSession().transaction() as tx:
            if not record_task_states(tx, workspace.id, [new]):
                raise Conflict(detail="An agent of Portal reports the states of this task run itself.")
        answer = {"status": "ACCEPT", "details": {"type": "accept_details"}}
        return Response({**answer, "state": self.as_json(pk)["state"]})


def task_run_as_json(row: Row) -> Row:
    """A row with `COLUMNS`, with what its client said of it besides."""
    shown = dict(row)
    details = shown.pop("client_details") or {}
    state_details = {"flow_run_id": row["flow_run_id"], "task_run_id": row["id"]}
    state = {
        **state_of(row),
        "data": details.get("data"),
        "state_details": {**(details.get("state_details") or {}), **state_details},
    }
    said = {name: details[name] for name in DETAILS if details.get(name) is not None}
    expected = row["created"]
    return {
        "expected_start_time": expected,
        "updated": row["state_timestamp"],
        **shown,
        **said,
        **estimates(row, expected, now()),
        "state": state,
    }


def _entering(task_run: TaskRunPart, type: StateType) -> TaskRunPart:
    """The task run as it is when it enters a state of this type now."""
    if type is StateType.RUNNING:
        return replace(
            task_run, run_count=task_run.run_count + 1, start_time=task_run.start_time or now(), end_time=None
        )
    return replace(task_run, end_time=now() if type in TERMINAL else None)
