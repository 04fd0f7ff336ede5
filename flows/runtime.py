"""Facts about the run that surrounds the caller: `runtime.flow_run.id`, `runtime.task_run.name`, ...

Outside runs every field is None (or empty), so that code works the same when it is called alone.
"""

from datetime import datetime
from typing import Any

from flows.sdk.context import current_flow, current_task


class _FlowRun:
    """The surrounding flow run."""

    @property
    def id(self) -> str | None:
        flow = current_flow.get()
        return str(flow.run.id) if flow else None

    @property
    def name(self) -> str | None:
        flow = current_flow.get()
        return flow.run.name if flow else None

    @property
    def flow_name(self) -> str | None:
        flow = current_flow.get()
        return flow.run.flow_name if flow else None

    @property
    def parameters(self) -> dict[str, Any]:
        """As the function got them: checked, converted, with defaults."""
        flow = current_flow.get()
        return dict(flow.parameters) if flow else {}

    @property
    def tags(self) -> list[str]:
        flow = current_flow.get()
        return list(flow.run.tags) if flow else []

    @property
    def run_count(self) -> int:
        """1 in the first try."""
        flow = current_flow.get()
        return flow.run_count if flow else 0

    @property
    def scheduled_start_time(self) -> datetime | None:
        flow = current_flow.get()
        return flow.run.scheduled_start_time if flow else None

    @property
    def root_flow_run_id(self) -> str | None:
        """The run that was claimed by the agent; a subflow's own id differs."""
        flow = current_flow.get()
        return str(flow.run.root_run_id or flow.run.id) if flow else None


class _TaskRun:
    """The surrounding task run."""

    @property
    def id(self) -> str | None:
        task = current_task.get()
        return str(task.id) if task else None

    @property
    def name(self) -> str | None:
        task = current_task.get()
        return task.name if task else None

    @property
    def task_name(self) -> str | None:
        task = current_task.get()
        return task.task.name if task else None

    @property
    def tags(self) -> list[str]:
        task = current_task.get()
        return list(task.tags) if task else []

    @property
    def run_count(self) -> int:
        """1 in the first try."""
        task = current_task.get()
        return task.run_count if task else 0


class _Deployment:
    """The deployment that the surrounding flow run came from."""

    @property
    def id(self) -> str | None:
        flow = current_flow.get()
        return str(flow.run.deployment_id) if flow and flow.run.deployment_id else None

    @property
    def name(self) -> str | None:
        flow = current_flow.get()
        return flow.run.deployment_name if flow else None


flow_run = _FlowRun()
task_run = _TaskRun()
deployment = _Deployment()
