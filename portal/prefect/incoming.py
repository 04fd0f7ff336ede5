"""Events of Prefect's clients as they come in, and how they are stored."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from django.db import DataError, IntegrityError
from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from flows.sdk.states import StateType
from portal.api.base.errors import first_problem
from portal.api.base.moments import Moment
from portal.api.base.parsers import without_nul
from runs.client_reports import DETAILS, ClientTaskState, note_heartbeats, record_task_states
from runs.events import store_events
from runs.session import DjangoSession

logger = logging.getLogger(__name__)

TASK_RUN, FLOW_RUN = "prefect.task-run.", "prefect.flow-run."
HEARTBEAT = "prefect.flow-run.heartbeat"
MOST_IN_NAME, MOST_IN_RESOURCE = 300, 500  # characters, as the columns have
RESOURCE_ID, ROLE = "prefect.resource.id", "prefect.resource.role"

Labels = Annotated[dict[str, str], Field(max_length=1000)]


@dataclass(slots=True)
class ClientEvent:
    """One event, as a client sends it. Fields that are not here are ignored."""

    id: UUID
    occurred: Moment
    event: Annotated[str, Field(min_length=1)]
    resource: Labels
    related: Annotated[list[Labels], Field(max_length=1000)] = Field(default_factory=list)
    payload: dict[str, Any] = Field(default_factory=dict)
    follows: UUID | None = None

    def __post_init__(self) -> None:
        if not self.resource.get(RESOURCE_ID):
            raise ValueError(f"resource needs {RESOURCE_ID}")


@dataclass(slots=True)
class TaskRunPart:
    """A task run, such as `payload.task_run` of an event. Keys without a value may be absent."""

    task_key: Annotated[str, Field(max_length=500)]
    dynamic_key: Annotated[str, Field(max_length=100)]
    name: str = ""
    tags: list[Annotated[str, Field(max_length=200)]] = Field(default_factory=list)
    task_inputs: dict[str, Any] = Field(default_factory=dict)
    run_count: Annotated[int, Field(ge=0, lt=2**31)] = 0
    start_time: Moment | None = None
    end_time: Moment | None = None
    total_run_time: Annotated[float, Field(ge=0, lt=1e12)] = 0.0


@dataclass(slots=True)
class StatePart:
    """A state, such as `payload.validated_state` of an event."""

    type: StateType
    name: Annotated[str | None, Field(max_length=100)] = None
    message: str | None = None
    state_details: dict[str, Any] = Field(default_factory=dict)
    data: Any = None


EVENT = TypeAdapter(ClientEvent)
EVENTS = TypeAdapter(list[ClientEvent])
TASK_RUN_PART = TypeAdapter(TaskRunPart)
STATE_PART = TypeAdapter(StatePart)


def read_event(frame: str) -> ClientEvent:
    """One event from its JSON. Raises pydantic's ValidationError."""
    return EVENT.validate_json(without_nul(frame))


def store(workspace_id: UUID, events: list[ClientEvent]) -> None:
    """Store events of a workspace's client, in one transaction; safe to repeat.

    Those that cannot be stored are left out, with a line in the log: a batch that fails is halved until they
    stand alone.
    """
    try:
        _store(workspace_id, events)
    except (DataError, IntegrityError, ValueError) as error:  # ValueError: a number that JSON cannot hold
        if len(events) == 1:
            logger.warning("Left out the event %s of %s: %s", events[0].id, events[0].event, error)
            return
        middle = len(events) // 2
        store(workspace_id, events[:middle])
        store(workspace_id, events[middle:])


def _store(workspace_id: UUID, events: Sequence[ClientEvent]) -> None:
    ours = [event for event in events if _is_of_task_run(event)]
    others = [event for event in events if not _is_of_task_run(event) and _fits(event)]
    states = [state for event in ours if (state := task_state_of(event))]
    session = DjangoSession()
    with session.transaction() as tx:
        if states:
            record_task_states(tx, workspace_id, states)
        note_heartbeats(tx, workspace_id, _alive(others))
        if others:
            store_events(session, workspace_id, [asdict(event) for event in others])


def _fits(event: ClientEvent) -> bool:
    """Whether its columns can hold it: found by PostgreSQL, it would cost the whole batch."""
    if len(event.event) <= MOST_IN_NAME and len(event.resource[RESOURCE_ID]) <= MOST_IN_RESOURCE:
        return True
    logger.warning("Left out the event %s: its name or its resource's is too long.", event.id)
    return False


def _is_of_task_run(event: ClientEvent) -> bool:
    """Whether a client says what became of a task run, in contrast to what a server repeats."""
    return event.event.startswith(TASK_RUN) and event.resource.get("prefect.orchestration") == "client"


def _alive(events: Sequence[ClientEvent]) -> list[UUID]:
    """The flow runs whose heart beats."""
    beats = (event.resource[RESOURCE_ID] for event in events if event.event == HEARTBEAT)
    return sorted({id for name in beats if (id := _id_in(name, FLOW_RUN))})


def task_state_of(event: ClientEvent) -> ClientTaskState | None:
    """The state of a task run that the event tells of; None, and a line in the log, without one."""
    task_run_id = _id_in(event.resource[RESOURCE_ID], TASK_RUN)
    try:
        task_run = TASK_RUN_PART.validate_python(event.payload.get("task_run"))
        state = STATE_PART.validate_python(event.payload.get("validated_state"))
    except ValidationError as error:
        logger.warning("Left out the event %s of %s: %s", event.id, event.event, first_problem(error))
        return None
    if task_run_id is None:
        logger.warning("Left out the event %s: %s is no task run.", event.id, event.resource[RESOURCE_ID])
        return None
    said = event.payload["task_run"]
    return entered(event.id, task_run_id, _flow_run_of(event), event.occurred, task_run, state, said)


def entered(
    id: UUID,
    task_run_id: UUID,
    flow_run_id: UUID | None,
    timestamp: datetime,
    task_run: TaskRunPart,
    state: StatePart,
    said: Mapping[str, Any],
) -> ClientTaskState:
    """What is stored of a task run that entered a state; `said`: what its client says of it besides."""
    return ClientTaskState(
        id=id,
        task_run_id=task_run_id,
        flow_run_id=flow_run_id,
        task_key=task_run.task_key,
        dynamic_key=task_run.dynamic_key,
        name=task_run.name or f"{task_run.task_key}-{task_run.dynamic_key}",
        type=state.type.value,
        state_name=state.name or state.type.value.capitalize(),
        message=state.message or "",
        timestamp=timestamp,
        tags=task_run.tags,
        task_inputs=task_run.task_inputs,
        run_count=task_run.run_count,
        start_time=task_run.start_time,
        end_time=task_run.end_time,
        total_run_time=task_run.total_run_time,
        details={
            **{name: said[name] for name in DETAILS if said.get(name) is not None},
            "state_details": state.state_details,
            "data": state.data,
        },
    )


def _flow_run_of(event: ClientEvent) -> UUID | None:
    """The first related flow run: the one that called the task."""
    for each in event.related:
        if each.get(ROLE) == "flow-run":
            return _id_in(each.get(RESOURCE_ID, ""), FLOW_RUN)
    return None


def _id_in(name: str, prefix: str) -> UUID | None:
    """The id in a resource's name, such as `prefect.flow-run.<id>`."""
    try:
        return UUID(name.removeprefix(prefix)) if name.startswith(prefix) else None
    except ValueError:
        return None
