"""A recorder that keeps everything in the process: for tests, and for flows called as plain Python."""

from collections import deque
from dataclasses import replace
from uuid import UUID

from flows.sdk.memory_backend import RUNS_IN_THIS_PROCESS
from flows.sdk.recorder import (
    FlowRunInfo,
    LogLine,
    NewArtifact,
    NewFlowRun,
    TaskRunEvent,
    Verdict,
)
from flows.sdk.results import MemoryResults
from flows.sdk.states import State


class MemoryRecorder:
    """Keeps what it is told, and accepts every state, except a pause that the run has passed before.

    `limit` bounds each list (the oldest entries go first); None keeps all, 0 keeps nothing.
    `results` keeps the results of tasks; default: a memory of its own.
    """

    def __init__(self, limit: int | None = None, results: MemoryResults | None = None) -> None:
        self.results = results or MemoryResults()
        self.flow_runs: deque[NewFlowRun] = deque(maxlen=limit)
        self.flow_states: deque[tuple[UUID, State]] = deque(maxlen=limit)
        self.task_events: deque[TaskRunEvent] = deque(maxlen=limit)
        self.logs: deque[LogLine] = deque(maxlen=limit)
        self.artifacts: deque[NewArtifact] = deque(maxlen=limit)

    def begin(self, new: NewFlowRun) -> FlowRunInfo:
        self.flow_runs.append(new)
        return FlowRunInfo.of(new, root_run_id=new.parent_run_id)

    def transition(self, run_id: UUID, state: State) -> Verdict:
        if "run_name" in state.details:
            self._rename(run_id, state.details["run_name"])
        verdict = RUNS_IN_THIS_PROCESS.enter(run_id, state)
        self.flow_states.append((run_id, verdict.state or state))
        return verdict

    def _rename(self, run_id: UUID, name: str) -> None:
        for position, run in enumerate(self.flow_runs):
            if run.id == run_id:
                self.flow_runs[position] = replace(run, name=name)

    def task_event(self, event: TaskRunEvent) -> None:
        self.task_events.append(event)

    def log(self, line: LogLine) -> None:
        self.logs.append(line)

    def artifact(self, artifact: NewArtifact) -> None:
        self.artifacts.append(artifact)

    def flush(self) -> None:
        """Everything is as durable as it gets."""

    def close(self) -> None:
        """Nothing is held."""

    def states_of(self, name: str) -> list[str]:
        """Names of the states, in order, of the flow runs or task runs of the flow or task `name`."""
        runs = {run.id for run in self.flow_runs if run.flow_name == name}
        if runs:
            return [state.name for run_id, state in self.flow_states if run_id in runs]
        return [event.state.name for event in self.task_events if event.name.rsplit("-", 1)[0] == name]
