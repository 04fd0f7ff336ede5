"""Facts about the run that surrounds the caller: `runtime.flow_run.id`, `runtime.task_run.name`, ...

Outside runs every field is None (or empty), so that code works the same when it is called alone.
"""

from datetime import datetime
from typing import Any

from flows.sdk.backend import server_url
from flows.sdk.context import FlowRunContext, current_flow, current_task
from flows.sdk.recorder import FlowRunInfo


def _context() -> FlowRunContext | None:
    """The flow run of the surrounding task, or of the surrounding flow."""
    task = current_task.get()
    return task.flow if task is not None and task.flow is not None else current_flow.get()


def _run() -> FlowRunInfo | None:
    context = _context()
    return context.run if context else None


def _address(*path: str | None) -> str | None:
    """An address on the server; None where there is no server, or a part of the path is missing."""
    url = server_url()
    return "/".join([url, *filter(None, path)]) if url and all(path) else None


class _FlowRun:
    """The surrounding flow run."""

    @property
    def id(self) -> str | None:
        run = _run()
        return str(run.id) if run else None

    @property
    def name(self) -> str | None:
        run = _run()
        return run.name if run else None

    @property
    def flow_name(self) -> str | None:
        run = _run()
        return run.flow_name if run else None

    @property
    def flow_version(self) -> str | None:
        context = _context()
        return context.flow.version if context else None

    @property
    def parameters(self) -> dict[str, Any]:
        """As the function got them: checked, converted, with defaults."""
        context = _context()
        return dict(context.parameters) if context else {}

    @property
    def tags(self) -> list[str]:
        run = _run()
        return list(run.tags) if run else []

    @property
    def run_count(self) -> int:
        """1 in the first try."""
        context = _context()
        return context.run_count if context else 0

    @property
    def scheduled_start_time(self) -> datetime | None:
        run = _run()
        return run.scheduled_start_time if run else None

    @property
    def parent_flow_run_id(self) -> str | None:
        """The run that called this one as a subflow, or started it by `run_deployment`."""
        run = _run()
        return str(run.parent_run_id) if run and run.parent_run_id else None

    @property
    def parent_deployment_id(self) -> str | None:
        """The deployment of the run that called or started this one."""
        run = _run()
        return str(run.parent_deployment_id) if run and run.parent_deployment_id else None

    @property
    def job_variables(self) -> dict[str, Any]:
        """Those of the deployment, with those that the run was started with on top."""
        run = _run()
        return dict(run.job_variables) if run else {}

    @property
    def root_flow_run_id(self) -> str | None:
        """The run that was claimed by the agent; a subflow's own id differs."""
        run = _run()
        return str(run.root_run_id or run.id) if run else None

    @property
    def work_queue_name(self) -> str | None:
        run = _run()
        return run.work_queue_name if run else None

    @property
    def work_pool_name(self) -> str | None:
        run = _run()
        return run.work_pool_name if run else None

    @property
    def api_url(self) -> str | None:
        """Where the API has this run."""
        return _address("api/flow_runs", self.id)

    @property
    def ui_url(self) -> str | None:
        """The page of this run."""
        return _address("admin/runs/flowrun", self.id)


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
    def parameters(self) -> dict[str, Any]:
        """The arguments of this call by name, with defaults; futures are their values."""
        task = current_task.get()
        return dict(task.parameters) if task else {}

    @property
    def tags(self) -> list[str]:
        task = current_task.get()
        return list(task.tags) if task else []

    @property
    def run_count(self) -> int:
        """1 in the first try."""
        task = current_task.get()
        return task.run_count if task else 0

    @property
    def api_url(self) -> str | None:
        """Where the API has this task run."""
        return _address("api/task_runs", self.id)

    @property
    def ui_url(self) -> str | None:
        """The page of the flow run that this task run is part of."""
        return flow_run.ui_url


class _Deployment:
    """The deployment that the surrounding flow run came from."""

    @property
    def id(self) -> str | None:
        run = _run()
        return str(run.deployment_id) if run and run.deployment_id else None

    @property
    def name(self) -> str | None:
        run = _run()
        return run.deployment_name if run else None

    @property
    def version(self) -> str | None:
        run = _run()
        return run.deployment_version if run else None

    @property
    def parameters(self) -> dict[str, Any]:
        """The deployment's own parameters; those of the run may differ."""
        run = _run()
        return dict(run.deployment_parameters) if run else {}

    @property
    def flow_run_id(self) -> str | None:
        """The flow run's id, as Prefect has it here too."""
        return flow_run.id


flow_run = _FlowRun()
task_run = _TaskRun()
deployment = _Deployment()
