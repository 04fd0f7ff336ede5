"""What a run says that waits for a slot, for its turn, or for something that is gone."""

from datetime import timedelta
from uuid import uuid4

import pytest

from agents.models import Agent, Worker, WorkPool, WorkQueue
from agents.services.database import database_time
from agents.waiting import Reason, waiting_on
from flows.models import Deployment, Workspace
from runs.limits import Wanted, acquire
from runs.models import ConcurrencyLimit, FlowRun
from runs.models.flow_run import NEXT
from runs.session import DjangoSession
from tests.agents.services.builders import make_agent, report_success
from tests.factories import default_workspace, lease, make_deployment, make_queue, make_run

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def a_working_scheduler() -> None:
    report_success("sweep")


@pytest.fixture
def queue() -> WorkQueue:
    queue = make_queue("mill")
    make_agent(queue)
    return queue


@pytest.fixture
def deployment(queue: WorkQueue) -> Deployment:
    return make_deployment(queue=queue)


def reasons(run: FlowRun) -> dict[str, Reason]:
    run = FlowRun.objects.get(id=run.id)
    return {reason["code"]: reason for reason in waiting_on(run)}


def only(run: FlowRun) -> Reason:
    [reason] = reasons(run).values()
    return reason


def limit(what: str, deployment: Deployment, number: int) -> None:
    queue = deployment.work_queue
    limited = {"deployment": deployment, "queue": queue, "pool": queue.work_pool}[what]
    limited.concurrency_limit = number
    limited.save()


@pytest.mark.parametrize(
    ("what", "name"),
    [("deployment", "deployment 'prod'"), ("queue", "work queue 'mill'"), ("pool", "work pool")],
)
def test_a_full_limit_names_its_holders(deployment: Deployment, what: str, name: str) -> None:
    limit(what, deployment, 1)
    holder = lease(make_run(deployment, name="big-export"))
    run = make_run(deployment)

    reason = only(run)

    assert reason["code"] == f"{what}_limit"
    assert f"Its {name}" in reason["text"]
    assert "runs at most 1 at once. Under way: big-export." in reason["text"]
    assert reason["holders"] == [{"kind": "flow_run", "id": str(holder.id), "name": "big-export"}]


def test_the_place_among_those_that_wait_for_a_deployment(deployment: Deployment) -> None:
    limit("deployment", deployment, 1)
    lease(make_run(deployment))
    earlier = database_time() - timedelta(minutes=1)
    first, second = make_run(deployment, scheduled_time=earlier), make_run(deployment)

    assert (only(first)["position"], only(second)["position"]) == (1, 2)
    assert "number 2 of those that wait" in only(second)["text"]


@pytest.mark.parametrize("what", ["deployment", "queue", "pool"])
def test_a_limit_of_zero_is_said_plainly(deployment: Deployment, what: str) -> None:
    limit(what, deployment, 0)

    reason = only(make_run(deployment))

    assert reason["code"] == "limit_zero"
    assert "has a limit of 0 runs: none starts until it is raised." in reason["text"]
    assert reason["fix"] == f"Raise the limit of the {what}."


def test_no_agent_is_said_beside_a_full_limit(deployment: Deployment) -> None:
    limit("queue", deployment, 0)
    Agent.objects.all().delete()

    assert list(reasons(make_run(deployment))) == ["limit_zero", "no_agent_online"]


def test_a_pool_that_nobody_polls(deployment: Deployment) -> None:
    WorkPool.objects.update(type="prefect", worker_type="docker")

    reason = only(make_run(deployment))

    assert reason["code"] == "pool_type"
    assert reason["text"].endswith("and no worker polls: none ever did.")
    assert reason["fix"] == "Start one: prefect worker start --pool 'default'"


@pytest.mark.parametrize(
    ("seen", "says"), [(0, "anna takes it when it polls next"), (900, "the last was anna")]
)
def test_a_pool_that_a_worker_polls(deployment: Deployment, seen: int, says: str) -> None:
    WorkPool.objects.update(type="prefect")
    pool = deployment.work_queue.work_pool
    heard = database_time() - timedelta(seconds=seen)
    Worker.objects.create(work_pool=pool, name="anna", last_heartbeat_time=heard)

    assert says in only(make_run(deployment))["text"]


def test_a_deleted_queue(deployment: Deployment) -> None:
    run = make_run(deployment)
    FlowRun.objects.update(work_queue=None)

    reason = only(run)

    assert (reason["code"], reason["text"]) == (
        "queue_deleted",
        "Its work queue was deleted, so no agent finds it.",
    )


def test_a_run_without_a_queue(deployment: Deployment) -> None:
    run = make_run(deployment)
    FlowRun.objects.update(work_queue=None, deployment=None)

    assert only(run)["code"] == "no_queue"


def busy(queue: WorkQueue) -> FlowRun:
    """Let the queue's only agent be busy."""
    run = lease(make_run(make_deployment(f"busy-{uuid4().hex[:6]}", queue=queue)))
    FlowRun.objects.filter(id=run.id).update(agent=Agent.objects.get(queues__contains=[queue.id]))
    return run


@pytest.mark.parametrize("priority", [5, NEXT])
def test_whoever_overtakes_is_named(deployment: Deployment, queue: WorkQueue, priority: int) -> None:
    busy(queue)
    run = make_run(deployment, scheduled_time=database_time() - timedelta(minutes=1))
    make_run(deployment, name="urgent", priority=priority)

    found = reasons(run)

    assert list(found) == ["agents_busy", "behind_priority"]
    assert found["behind_priority"]["text"].startswith(
        "urgent goes before it, with a higher priority than its 0."
    )
    assert found["behind_priority"]["position"] == 2


def test_a_run_that_waited_long_is_overtaken_by_nobody(deployment: Deployment, queue: WorkQueue) -> None:
    busy(queue)
    run = make_run(deployment, scheduled_time=database_time() - timedelta(hours=1))
    make_run(deployment, name="urgent", priority=5)

    assert only(run)["position"] == 1


def test_the_share_of_a_workspace(deployment: Deployment, queue: WorkQueue) -> None:
    theirs = make_queue(workspace=Workspace.objects.create(name="quiet"))
    make_run(make_deployment("theirs", queue=theirs))
    Agent.objects.update(queues=[queue.id, theirs.id])
    busy(queue)

    found = reasons(make_run(deployment))

    assert list(found) == ["agents_busy", "workspace_share"]
    assert "Its workspace has 1 runs under way." in found["workspace_share"]["text"]
    assert "quiet" not in found["workspace_share"]["text"]


def test_code_that_waits_for_a_slot_says_so_while_it_runs(deployment: Deployment) -> None:
    ConcurrencyLimit.objects.create(workspace=default_workspace(), name="database", limit=1)
    runs = [make_run(deployment, name=name) for name in ("holder", "waiter")]
    FlowRun.objects.update(state_type="RUNNING")
    for run in runs:
        acquire(DjangoSession(), Wanted(run.workspace_id, uuid4(), ["database"], 1, 60, flow_run_id=run.id))

    assert reasons(runs[0]) == {}
    reason = only(runs[1])
    assert reason["code"] == "slot_wait"
    assert "waits for 1 of 1 slots of limit 'database', held by holder. It is number 1" in reason["text"]


def test_code_that_waits_for_a_limit_of_zero_says_so(deployment: Deployment) -> None:
    ConcurrencyLimit.objects.create(workspace=default_workspace(), name="database", limit=0)
    run = make_run(deployment)
    FlowRun.objects.update(state_type="RUNNING")
    acquire(DjangoSession(), Wanted(run.workspace_id, uuid4(), ["database"], 1, 60, flow_run_id=run.id))

    reason = only(run)
    assert reason["code"] == "slot_wait"
    assert "limit 'database', which is 0: it gives no slots until it is raised" in reason["text"]
    assert reason["fix"] == "Raise the limit."
