"""Small builders of rows for tests."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from agents.models import Agent, WorkPool, WorkQueue
from flows.models import Deployment, Flow, Workspace
from runs.create import create_flow_run
from runs.models import FlowRun


def default_workspace() -> Workspace:
    return Workspace.objects.get_or_create(name="default")[0]


def make_queue(name: str = "default", pool: str = "default", workspace: Workspace | None = None) -> WorkQueue:
    workspace = workspace or default_workspace()
    work_pool, _ = WorkPool.objects.get_or_create(workspace=workspace, name=pool)
    return WorkQueue.objects.get_or_create(work_pool=work_pool, name=name)[0]


def make_deployment(
    name: str = "prod", flow: str = "etl", queue: WorkQueue | None = None, **fields: Any
) -> Deployment:
    queue = queue or make_queue()
    workspace = queue.work_pool.workspace
    made_flow, _ = Flow.objects.get_or_create(workspace=workspace, name=flow)
    return Deployment.objects.create(
        workspace=workspace,
        flow=made_flow,
        name=name,
        work_queue=queue,
        **{"entrypoint": "etl.py:etl", "path": "", **fields},
    )


def make_run(deployment: Deployment | None = None, **fields: Any) -> FlowRun:
    """A SCHEDULED run that is due."""
    return create_flow_run(deployment or make_deployment(name=f"d-{uuid4().hex[:8]}"), **fields)


def lease(run: FlowRun, attempt: int = 1, seconds: float = 60) -> FlowRun:
    """Let an agent own the run, as a claim does, without starting one."""
    now = datetime.now(UTC)
    agent = Agent.objects.create(name="test", hostname="localhost", pid=1, started=now, last_seen=now)
    FlowRun.objects.filter(id=run.id).update(
        state_type="PENDING",
        state_name="Pending",
        attempt=attempt,
        agent=agent,
        lease_expires=now + timedelta(seconds=seconds),
    )
    run.refresh_from_db()
    return run
