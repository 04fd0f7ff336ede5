"""The port through which the engine reports what happens.

The engine owns this protocol and knows no storage. `flows.sdk.memory` keeps everything in
the process; `runs.recorder` writes to PostgreSQL from inside an agent; `flows.sdk.http` sends to the API.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol, Self
from uuid import UUID

from flows.sdk.states import State

if TYPE_CHECKING:
    from flows.sdk.results import ResultKeeper


class Status(str, Enum):
    """The answer to a proposed state."""

    ACCEPT = "ACCEPT"  # the proposed state is now the state
    REJECT = "REJECT"  # `state` is the state instead; the run goes on from there
    WAIT = "WAIT"  # propose again after `delay_seconds`
    ABORT = "ABORT"  # stop at once and write nothing more


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a proposed state, and the state that holds now (None: no such run)."""

    status: Status
    state: State | None
    reason: str = ""
    delay_seconds: float = 0.0


class Aborted(BaseException):
    """This attempt no longer owns its run: stop at once, write nothing more.

    A BaseException, so that `except Exception` in user code does not swallow it.
    """


@dataclass(frozen=True, slots=True)
class NewFlowRun:
    """A flow run that starts here: a flow called outside an agent, or a subflow."""

    id: UUID
    flow_name: str
    name: str
    parameters: Mapping[str, Any]  # JSON
    tags: tuple[str, ...] = ()
    parent_run_id: UUID | None = None
    parent_task_run_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class FlowRunInfo:
    """What a running flow knows about itself. `run_count` counts the tries before this one.

    `result_scope` is the run whose kept results it shares, if not its own. `reusable` are the calls (task
    key, dynamic key) whose results of earlier attempts may be taken; None: all.
    """

    id: UUID
    name: str
    flow_name: str
    parameters: Mapping[str, Any]
    tags: tuple[str, ...] = ()
    run_count: int = 0
    crash_count: int = 0
    attempt: int = 0
    deployment_id: UUID | None = None
    deployment_name: str | None = None
    scheduled_start_time: datetime | None = None
    root_run_id: UUID | None = None
    parent_run_id: UUID | None = None
    deployment_version: str | None = None
    deployment_parameters: Mapping[str, Any] = field(default_factory=dict)
    work_queue_name: str | None = None
    work_pool_name: str | None = None
    job_variables: Mapping[str, Any] = field(default_factory=dict)  # the deployment's and its own
    parent_deployment_id: UUID | None = None
    result_scope: UUID | None = None
    reusable: frozenset[tuple[str, str]] | None = None

    @classmethod
    def of(cls, new: NewFlowRun, attempt: int = 0, root_run_id: UUID | None = None) -> Self:
        """What a run knows that has just begun."""
        return cls(
            id=new.id,
            name=new.name,
            flow_name=new.flow_name,
            parameters=new.parameters,
            tags=new.tags,
            attempt=attempt,
            root_run_id=root_run_id,
            parent_run_id=new.parent_run_id,
        )


@dataclass(slots=True)
class TaskRunEvent:
    """A task run entered `state`. Newest (attempt, sequence) wins; repeats change nothing."""

    task_run_id: UUID
    flow_run_id: UUID
    task_key: str
    dynamic_key: str
    name: str
    state: State
    sequence: int  # grows within one process
    run_count: int = 0
    start_time: datetime | None = None
    end_time: datetime | None = None
    total_run_time: float = 0.0  # seconds spent running, all tries together
    tags: tuple[str, ...] = ()
    task_inputs: Mapping[str, list[str]] = field(default_factory=dict)  # argument -> ids of task runs


@dataclass(slots=True)
class LogLine:
    """One log record of a flow run, or of one of its task runs. `level` as in `logging`."""

    flow_run_id: UUID
    task_run_id: UUID | None
    timestamp: datetime
    level: int
    logger: str
    message: str


@dataclass(frozen=True, slots=True)
class NewArtifact:
    """A result for people to look at. `data` is JSON; a table is a list of row objects.

    The same id once more is an update, which keeps the key and the description unless it has its own.
    """

    id: UUID
    flow_run_id: UUID
    task_run_id: UUID | None
    type: str
    key: str | None
    description: str
    data: Any


class Recorder(Protocol):
    """Where a process reports its runs. All methods may be called from any thread.

    `transition` and `begin` are synchronous and orchestrated; `task_event`, `log` and `artifact`
    are queued and leave in batches, in order. The queue is bounded: when it is full, they block.
    """

    @property
    def results(self) -> "ResultKeeper":
        """Where the results of tasks are kept."""
        ...

    def begin(self, new: NewFlowRun) -> FlowRunInfo:
        """Create the run, in state PENDING: durable with its first other state at the latest.

        (The task run that stands for a subflow is queued before it, and the new run refers to it.)
        """
        ...

    def transition(self, run_id: UUID, state: State) -> Verdict:
        """Propose a state of a flow run.

        A terminal state commits together with everything queued before it.
        Raises Aborted when this attempt no longer owns the run.
        """
        ...

    def task_event(self, event: TaskRunEvent) -> None: ...

    def log(self, line: LogLine) -> None: ...

    def artifact(self, artifact: NewArtifact) -> None: ...

    def flush(self) -> None:
        """Return when everything queued before this call is durable. Raises Aborted as above."""
        ...

    def close(self) -> None:
        """Flush and release what is held. Safe to call twice."""
        ...
