"""`run_deployment`: start a run of a deployment from Python, and wait for its end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from time import monotonic
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

from flows.sdk import portal
from flows.sdk.context import FlowRunContext, current_flow, current_task
from flows.sdk.flow_results import Returned
from flows.sdk.inputs import resolved
from flows.sdk.parameters import as_json
from flows.sdk.states import Completed, Failed, Running, State, StateType
from flows.sdk.steps import Sleep, Steps, drive_async
from flows.sdk.task_engine import edges
from flows.sdk.task_run import TaskRun

FIRST_POLL = 0.1
LONGEST_POLL = 2.0


class FlowRunWaitTimeout(TimeoutError):
    """A run was not over in time."""


@dataclass(frozen=True, slots=True)
class FlowRun:
    """A run of a deployment, as it was when the server was last asked."""

    id: UUID
    name: str
    flow_id: UUID
    deployment_id: UUID | None
    parameters: dict[str, Any]
    tags: list[str]
    state: State
    idempotency_key: str | None = None
    parent_task_run_id: UUID | None = None

    @property
    def state_name(self) -> str:
        return self.state.name

    @property
    def state_type(self) -> StateType:
        return self.state.type


@dataclass(slots=True)
class _Wanted:
    """A run that is to be started."""

    name: UUID | str
    body: dict[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    timeout: float | None = None
    poll_interval: float | None = None
    as_subflow: bool = True


def run_deployment(name: UUID | str, **options: Any) -> Any:
    """Start a run of a deployment and return it (a FlowRun) once it is over, in whatever state.

    A flow that waits keeps its agent: another one must be there for the run it waits for.
    Options as in `arun_deployment`. Where an event loop runs, this is to be awaited, as in Prefect.
    """
    return portal.here_or_awaited(_steps(_wanted(name, **options)))


async def arun_deployment(name: UUID | str, **options: Any) -> FlowRun:
    """As `run_deployment`, always to be awaited.

    name: "FLOW/DEPLOYMENT", or the deployment's id.
    parameters: override those of the deployment; futures are waited for.
    scheduled_time: when it is due (aware); default: now. flow_run_name: default: two random words.
    timeout: seconds to wait for its end; None: for ever; 0: return at once. It goes on in any case.
    poll_interval: seconds between two looks; default: 0.1 s, growing to 2 s.
    tags: of the run. work_queue_name: another queue, in the deployment's pool.
    idempotency_key: with one that this deployment has seen, the run of then is returned.
    as_subflow: inside a flow, show the run as a child of the surrounding one.
    job_variables: on top of those of the deployment.

    Raises PortalApiError if there is no such deployment or the parameters do not fit, NoPortalError.
    """
    return await drive_async(_steps(_wanted(name, **options)))


async def wait_for_flow_run(
    flow_run_id: UUID, timeout: float | None = 10800, poll_interval: float | None = None
) -> FlowRun:
    """The run (a FlowRun) once it is over, in whatever state.

    timeout: seconds; None: for ever. poll_interval: seconds between two looks; default: 0.1 s, growing
    to 2 s.
    Raises FlowRunWaitTimeout, PortalApiError if there is no such run, and NoPortalError.
    """
    server = portal.needed("wait_for_flow_run")
    wanted = _Wanted("", timeout=timeout, poll_interval=poll_interval)
    run = await drive_async(_watched(server, flow_run_id, wanted))
    if not run.state.is_terminal():
        raise FlowRunWaitTimeout(
            f"Flow run {flow_run_id} was not over after {timeout:g} s: it is {run.state}."
        )
    return run


def _watched(server: portal.Portal, run_id: UUID, wanted: _Wanted) -> Steps[FlowRun]:
    found = yield from portal.ask(lambda: server.get(f"flow_runs/{run_id}"))
    return (yield from _ended(server, _flow_run(found), wanted))


def _wanted(
    name: UUID | str,
    *,
    flow_run_name: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    scheduled_time: datetime | None = None,
    timeout: float | None = None,
    poll_interval: float | None = None,
    tags: Sequence[str] | None = None,
    idempotency_key: str | None = None,
    work_queue_name: str | None = None,
    as_subflow: bool = True,
    job_variables: Mapping[str, Any] | None = None,
) -> _Wanted:
    if timeout is not None and timeout < 0:
        raise ValueError(f"timeout must be 0 or more seconds, not {timeout:g}.")
    body: dict[str, Any] = {
        "name": flow_run_name,
        "tags": list(tags or ()),
        # One of our own, so that asking again after a lost answer makes no second run.
        "idempotency_key": idempotency_key or str(uuid4()),
        "work_queue_name": work_queue_name,
        "job_variables": dict(job_variables or {}),
    }
    if scheduled_time is not None:
        due = scheduled_time.astimezone(UTC).isoformat()
        body["state"] = {"type": "SCHEDULED", "state_details": {"scheduled_time": due}}
    return _Wanted(name, body, parameters or {}, timeout, poll_interval, as_subflow)


def _steps(wanted: _Wanted) -> Steps[FlowRun]:
    server = portal.needed("run_deployment")
    path = f"deployments/{wanted.name}"
    if isinstance(wanted.name, str) and "/" in wanted.name:
        flow, _, deployment = wanted.name.partition("/")
        path = f"deployments/name/{quote(flow, safe='')}/{quote(deployment, safe='')}"
    deployment_id = (yield from portal.ask(lambda: server.get(path)))["id"]
    body = {**wanted.body, "parameters": as_json(resolved(dict(wanted.parameters)))}
    stand_in = _stand_in(wanted)
    if stand_in is not None:
        body["parent_task_run_id"] = str(stand_in.id)
    path = f"deployments/{deployment_id}/create_flow_run"
    try:
        made = yield from portal.ask(lambda: server.post(path, body))
        run = yield from _ended(server, _flow_run(made), wanted)
    except Exception as error:
        if stand_in is not None:
            stand_in.enter(Failed(message=str(error)))
        raise
    if stand_in is not None:
        stand_in.enter(run.state.anew() if run.state.is_terminal() else _not_waited_for(run))
    return run


def _not_waited_for(run: FlowRun) -> State:
    return Completed(message=f"Started flow run {run.name!r}; nobody waited for its end.")


def _stand_in(wanted: _Wanted) -> TaskRun | None:
    """The task run that stands for the new run in the surrounding flow; durable, so that the run can refer
    to it."""
    parent: FlowRunContext | None = current_flow.get()
    if parent is None or not wanted.as_subflow:
        return None
    inputs = edges(wanted.parameters)
    if task := current_task.get():
        inputs["__parents__"] = [str(task.id)]
    stand_in = TaskRun(parent, str(wanted.name), f"deployment {wanted.name}", (), inputs)
    stand_in.enter(Running())
    parent.recorder.flush()
    return stand_in


def _ended(server: portal.Portal, run: FlowRun, wanted: _Wanted) -> Steps[FlowRun]:
    """The run as it is when it is over, or when the time is up."""
    deadline = None if wanted.timeout is None else monotonic() + wanted.timeout
    delay = wanted.poll_interval or FIRST_POLL
    look = partial(server.get, f"flow_runs/{run.id}")
    while not run.state.is_terminal():
        left = delay if deadline is None else min(delay, deadline - monotonic())
        if left <= 0:
            return run
        yield Sleep(left)
        run = _flow_run((yield from portal.ask(look)))
        delay = wanted.poll_interval or min(1.5 * delay, LONGEST_POLL)
    return run


def _flow_run(body: Mapping[str, Any]) -> FlowRun:
    state = body["state"]
    return FlowRun(
        id=UUID(str(body["id"])),
        name=body["name"],
        flow_id=UUID(str(body["flow_id"])),
        deployment_id=UUID(str(body["deployment_id"])) if body["deployment_id"] else None,
        parameters=body["parameters"],
        tags=body["tags"],
        idempotency_key=body["idempotency_key"],
        parent_task_run_id=UUID(str(body["parent_task_run_id"])) if body["parent_task_run_id"] else None,
        state=State(
            StateType(state["type"]),
            name=state["name"],
            message=state["message"] or "",
            timestamp=datetime.fromisoformat(str(state["timestamp"])),
            id=UUID(str(state["id"])),
            data=Returned(UUID(str(body["id"])), body["name"]) if state["type"] == "COMPLETED" else None,
        ),
    )
