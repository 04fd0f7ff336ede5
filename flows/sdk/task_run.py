"""The books of one task run: its id, name, counters and times, and the reports of its states."""

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Protocol
from uuid import UUID

from flows.sdk.context import FlowRunContext, next_sequence
from flows.sdk.ids import uuid7
from flows.sdk.recorder import LogLine, TaskRunEvent
from flows.sdk.states import Crashed, Pending, State, StateType


class TakesLines(Protocol):
    """A recorder, or whatever else keeps the log lines of a run."""

    def log(self, line: LogLine) -> None: ...


class TaskRun:
    """A task run from its first state to its last. Outside flows it reports to nobody."""

    __slots__ = (
        "_entered", "_over", "dynamic_key", "end_time", "flow", "id", "inputs", "name", "run_count",
        "start_time", "state", "tags", "task_key", "total_run_time",
    )  # fmt: skip

    def __init__(
        self,
        flow: FlowRunContext | None,
        name: str,
        task_key: str,
        tags: tuple[str, ...],
        inputs: Mapping[str, list[str]],
        id: UUID | None = None,
    ) -> None:
        self.flow = flow
        self.id: UUID = id or uuid7()
        self.task_key = task_key
        self.dynamic_key = self._dynamic_key(flow)
        self.name = f"{name}-{self.dynamic_key}"
        self.tags = tags
        self.inputs = inputs
        self.run_count = 0
        self.start_time: datetime | None = None
        self.end_time: datetime | None = None
        self.total_run_time = 0.0
        self._entered = 0.0
        self._over = False
        if flow is not None:
            flow.open.add(self)
        self.state = self.enter(Pending())

    @property
    def key(self) -> tuple[str, str]:
        """Which call of which task of the flow run this is."""
        return self.task_key, self.dynamic_key

    @property
    def lines(self) -> "TakesLines | None":
        """Where its log lines go."""
        return self.flow.recorder if self.flow else None

    @property
    def flow_run_id(self) -> UUID | None:
        return self.flow.run.id if self.flow else None

    def enter(self, state: State) -> State:
        """Count, report and return the state. After a final state nothing is reported any more."""
        if self._over:
            return self.state
        if state.type is StateType.RUNNING:
            self.run_count += 1
            self.start_time = self.start_time or state.timestamp
            self._entered = time.perf_counter()
        elif self._entered:
            self.total_run_time += time.perf_counter() - self._entered
            self._entered = 0.0
        if state.is_terminal():
            self.end_time = state.timestamp
            self._close()
        self.state = state
        self._report(state)
        return state

    def leave(self, state: State) -> State:
        """Enter a state that is not final, but the last: the task run will never begin."""
        entered = self.enter(state)
        self._close()
        return entered

    def _close(self) -> None:
        self._over = True
        if self.flow is not None:
            self.flow.open.discard(self)

    def roll_back(self) -> State:
        """What the task did was undone: the one change of a run that is over. No retry takes its result."""
        if self.flow is not None and self.flow.replay is not None:
            self.flow.replay.forget(self.key)
        self._over = False
        message = "Task rolled back as part of transaction"
        return self.enter(State(StateType.COMPLETED, name="RolledBack", message=message))

    def ended_by(self, error: BaseException) -> State:
        """The final state, for a caller that cannot let `error` pass. Reports nothing."""
        if isinstance(self.state.data, BaseException):
            return self.state
        return Crashed(message=repr(error), data=error)

    def _dynamic_key(self, flow: FlowRunContext | None) -> str:
        return f"{flow.call_prefix}{flow.next_call(self.task_key)}" if flow else "0"

    def _report(self, state: State) -> None:
        flow = self.flow
        if flow is None:
            return
        flow.recorder.task_event(
            TaskRunEvent(
                self.id,
                flow.run.id,
                self.task_key,
                self.dynamic_key,
                self.name,
                state,
                next_sequence(),
                self.run_count,
                self.start_time,
                self.end_time,
                self.total_run_time,
                self.tags,
                self.inputs,
            )
        )
