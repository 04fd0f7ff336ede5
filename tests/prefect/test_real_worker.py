"""A Prefect worker that executes the runs of a deployment, as Prefect's own commands set it up."""

from uuid import UUID

import pytest

from agents.waiting import waiting_on
from flows.models import Deployment
from runs.cancel import cancel
from runs.create import create_flow_run
from runs.models import FlowRun, Log, TaskRun
from runs.session import DjangoSession
from tests.prefect.client import PrefectClient
from tests.processes import wait_until

FLOWS = """
import time
from prefect import flow, get_run_logger, task

tries = []

@task
def step(number):
    get_run_logger().info("step %s", number)
    return number

@flow
def child(number):
    return step(number)

@flow(retries=1, retry_delay_seconds=0)
def work(seconds: float = 0):
    step(1)
    if seconds:
        time.sleep(seconds)
    tries.append(1)
    if len(tries) == 1:
        raise ValueError("once")
    return child(2)
"""

DEPLOY = """
from pathlib import Path
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate

if __name__ == "__main__":
    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name="px", type="process"))
    flow.from_source(str(Path.cwd()), "flows_of_mine.py:work").deploy("nightly", work_pool_name="px")
"""
WORKER = ("-m", "prefect", "worker", "start", "--pool", "px", "--type", "process", "--name", "w1")
PATIENCE = 300.0  # each run is a process of Prefect's, which takes its time to start


def state_of(run_id: UUID) -> str:
    return str(FlowRun.objects.values_list("state_name", flat=True).get(id=run_id))


def names_of(run_id: UUID) -> list[str]:
    return list(FlowRun.objects.get(id=run_id).states.order_by("timestamp").values_list("name", flat=True))


@pytest.mark.processes
def test_a_worker_executes_and_cancels(prefect_client: PrefectClient) -> None:
    (prefect_client.folder / "flows_of_mine.py").write_text(FLOWS)
    (prefect_client.folder / "deploy.py").write_text(DEPLOY)
    prefect_client.run("deploy.py")
    deployment = Deployment.objects.get(name="nightly")
    retried = create_flow_run(deployment)
    stopped = create_flow_run(deployment, parameters={"seconds": 300})
    [reason] = [each for each in waiting_on(retried) if each["code"] == "pool_type"]
    assert "no worker polls" in reason["text"]

    prefect_client.start(*WORKER, PREFECT_WORKER_QUERY_SECONDS="1")

    wait_until(lambda: state_of(stopped.id) == "Running", PATIENCE)
    cancel(DjangoSession(), stopped.id, "a test")
    wait_until(lambda: state_of(retried.id) == "Completed", PATIENCE)
    taken = ["Scheduled", "Pending", "Submitting", "Running"]
    assert names_of(retried.id) == [*taken, "AwaitingRetry", "Running", "Completed"]
    child = FlowRun.objects.get(root_run=retried)
    assert (child.flow.name, child.state_name) == ("child", "Completed")
    stand_in = TaskRun.objects.get(id=child.parent_task_run_id)
    assert (stand_in.flow_run_id, stand_in.state_name) == (retried.id, "Completed")
    assert FlowRun.objects.get(id=retried.id).labels["prefect.worker.name"] == "w1"
    wait_until(lambda: Log.objects.filter(flow_run_id=retried.id, message="step 1").count() == 2)

    wait_until(lambda: state_of(stopped.id) == "Cancelled", PATIENCE)
    assert names_of(stopped.id) == [*taken, "Cancelling", "Cancelled"]
