"""What the running code stands in: its flow run, its task run, its tags, and the recorder."""

import itertools
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any
from uuid import UUID

from flows.sdk.origins import Origins
from flows.sdk.recorder import FlowRunInfo, Recorder

if TYPE_CHECKING:
    from flows.sdk.flows import Flow
    from flows.sdk.replay import Replay
    from flows.sdk.runners import ThreadPoolTaskRunner
    from flows.sdk.task_engine import TaskCall
    from flows.sdk.task_run import TakesLines, TaskRun
    from flows.sdk.tasks import Task
    from flows.sdk.timeouts import Limit


class MissingContextError(RuntimeError):
    """Something was asked of the run that surrounds the code, but no run does."""


@dataclass(slots=True)
class FlowRunContext:
    """A flow run while one try of its function is under way.

    `call_prefix` stands before the numbers of calls that another process than the flow's counts.
    `limit` is the timeout of the try.
    `open` are its task runs that are not over; `replay` what its earlier tries computed, if it has retries.
    """

    flow: "Flow[Any, Any]"
    run: FlowRunInfo
    recorder: Recorder
    runner: "ThreadPoolTaskRunner"
    parameters: dict[str, Any]
    run_count: int = 0
    log_prints: bool = False
    replay: "Replay | None" = None
    open: "set[TaskRun]" = field(default_factory=set)
    calls: Counter[str] = field(default_factory=Counter)
    lock: Lock = field(default_factory=Lock)
    origins: Origins = field(default_factory=Origins)
    call_prefix: str = ""
    limit: "Limit | None" = None

    @staticmethod
    def get() -> "FlowRunContext | None":
        """The flow run that surrounds the caller, seen from within its tasks, too."""
        return current_flow.get()

    @property
    def flow_run(self) -> FlowRunInfo:
        """What is known about the run."""
        return self.run

    def next_call(self, task_key: str) -> int:
        """How often the task was called before in this try: 0, 1, 2, ..."""
        with self.lock:
            number = self.calls[task_key]
            self.calls[task_key] = number + 1
            return number


@dataclass(slots=True)
class TaskRunContext:
    """A task run while its function is under way. `flow` is None outside flows."""

    task: "Task[Any, Any]"
    id: UUID
    name: str
    tags: tuple[str, ...]
    flow: FlowRunContext | None
    run_count: int = 0
    call: "TaskCall | None" = None

    @staticmethod
    def get() -> "TaskRunContext | None":
        """The task run that surrounds the caller."""
        return current_task.get()

    @property
    def parameters(self) -> dict[str, Any]:
        """The arguments of the call by name, with defaults."""
        return self.task.arguments(self.call.args, self.call.kwargs) if self.call else {}

    @property
    def lines(self) -> "TakesLines | None":
        """Where its log lines go; None if nobody keeps them."""
        if self.flow is not None:
            return self.flow.recorder
        return self.call.run.lines if self.call else None

    @property
    def task_run(self) -> "TaskRunContext":
        """The context itself, so that functions written as `context.task_run.name` find what they ask for."""
        return self

    @property
    def flow_run_id(self) -> UUID | None:
        """The surrounding flow run; None outside flows."""
        return self.flow.run.id if self.flow else None


current_flow: ContextVar[FlowRunContext | None] = ContextVar("current_flow", default=None)
current_task: ContextVar[TaskRunContext | None] = ContextVar("current_task", default=None)
current_tags: ContextVar[tuple[str, ...]] = ContextVar("current_tags", default=())
current_recorder: ContextVar[Recorder | None] = ContextVar("current_recorder", default=None)


def get_run_context() -> "FlowRunContext | TaskRunContext":
    """The task run that surrounds the caller, else its flow run. Raises MissingContextError outside runs."""
    context = current_task.get() or current_flow.get()
    if context is None:
        raise MissingContextError("There is no run here: call this inside a flow or task.")
    return context


_sequence = itertools.count(1)


def next_sequence() -> int:
    """A number that grows with every task state that this process reports."""
    return next(_sequence)


def merge_tags(*groups: tuple[str, ...]) -> tuple[str, ...]:
    """All tags, each once, in order of first appearance."""
    return tuple(dict.fromkeys(tag for group in groups for tag in group))


@contextmanager
def tags(*new: str) -> Iterator[tuple[str, ...]]:
    """Add tags to every flow run and task run that is started inside the block."""
    merged = merge_tags(current_tags.get(), new)
    token = current_tags.set(merged)
    try:
        yield merged
    finally:
        current_tags.reset(token)


@contextmanager
def recording(recorder: Recorder) -> Iterator[Recorder]:
    """Report every flow run that is started inside the block to `recorder`."""
    token = current_recorder.set(recorder)
    try:
        yield recorder
    finally:
        current_recorder.reset(token)
