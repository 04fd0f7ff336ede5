"""Every run that is neither running nor over says what it waits for."""

from datetime import timedelta

import pytest
from pytest_django import DjangoAssertNumQueries

from agents.models import ServiceStatus, WorkPool, WorkQueue
from agents.services.database import database_time
from agents.waiting import Reason, waiting_on
from flows.models import Deployment
from flows.sdk.states import AwaitingRetry
from runs.models import FlowRun
from runs.session import DjangoSession
from runs.transition import transition
from tests.agents.services.builders import make_agent, make_schedule, report_success
from tests.factories import lease, make_deployment, make_queue, make_run

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def a_working_scheduler() -> None:
    report_success("sweep")


@pytest.fixture
def queue() -> WorkQueue:
    return make_queue("mill")


@pytest.fixture
def run(queue: WorkQueue) -> FlowRun:
    return make_run(make_deployment(queue=queue))


def codes(run: FlowRun) -> list[str]:
    return [reason["code"] for reason in waiting_on(run)]


def only(run: FlowRun) -> Reason:
    [reason] = waiting_on(run)
    return reason


def enter(run: FlowRun, state: str) -> FlowRun:
    FlowRun.objects.filter(id=run.id).update(state_type=state, state_name=state.capitalize())
    run.refresh_from_db()
    return run


@pytest.mark.parametrize("state", ["RUNNING", "COMPLETED", "FAILED", "CRASHED", "CANCELLED"])
def test_a_run_that_runs_or_is_over_waits_for_nothing(run: FlowRun, state: str) -> None:
    assert waiting_on(enter(run, state)) == []


def test_not_due_yet(queue: WorkQueue) -> None:
    run = make_run(make_deployment(queue=queue), scheduled_time=database_time() + 5 * HOUR)

    reason = only(run)

    assert reason["code"] == "not_due_yet"
    assert reason["text"].endswith("UTC, in 5 h.")


def test_retry_wait(run: FlowRun) -> None:
    transition(DjangoSession(), run.id, AwaitingRetry(database_time() + timedelta(minutes=10)))
    run.refresh_from_db()

    reason = only(run)

    assert reason["code"] == "retry_wait"
    assert reason["text"].startswith("It failed and will be tried again at")


def test_deployment_paused(run: FlowRun) -> None:
    deployment = Deployment.objects.get(id=run.deployment_id)
    Deployment.objects.update(paused=True)

    reason = only(run)

    assert (reason["code"], reason["text"]) == ("deployment_paused", "Its deployment 'prod' is paused.")
    assert reason["link"] == {"kind": "deployment", "id": str(deployment.id)}


def test_queue_paused(run: FlowRun, queue: WorkQueue) -> None:
    WorkQueue.objects.update(paused=True)

    reason = only(run)

    assert (reason["code"], reason["text"]) == ("queue_paused", "Its work queue 'mill' is paused.")
    assert reason["link"] == {"kind": "work_queue", "id": str(queue.id)}


def test_pool_paused(run: FlowRun, queue: WorkQueue) -> None:
    WorkPool.objects.update(paused=True)

    reason = only(run)

    assert (reason["code"], reason["text"]) == ("pool_paused", "Its work pool 'default' is paused.")
    assert reason["link"] == {"kind": "work_pool", "id": str(queue.work_pool_id)}


def test_no_agent_ever(run: FlowRun, queue: WorkQueue) -> None:
    reason = only(run)

    assert reason["code"] == "no_agent_online"
    assert reason["text"] == "No agent serves queue 'mill', and none ever did."
    assert reason["fix"] == "Start an agent: python manage.py rqworker mill"


def test_no_agent_any_more(run: FlowRun, queue: WorkQueue) -> None:
    agent = make_agent(queue, name="anna", hostname="host-1", seen=HOUR)

    reason = only(run)

    assert reason["code"] == "no_agent_online"
    assert "The last one was anna on host-1, seen" in reason["text"]
    assert reason["since"] == agent.last_seen


def test_the_command_names_a_pool_that_is_not_the_default() -> None:
    run = make_run(make_deployment(queue=make_queue("fast", pool="gpu")))

    assert only(run)["fix"].endswith("rqworker gpu/fast")


def test_agents_busy(run: FlowRun, queue: WorkQueue) -> None:
    agent = make_agent(queue)
    holder = lease(make_run(name="big-export"))
    FlowRun.objects.filter(id=holder.id).update(agent=agent, claimed_time=database_time())
    make_run(run.deployment, priority=5)

    reason = only(run)

    assert reason["code"] == "agents_busy"
    assert reason["text"] == "All agents of its queue are busy with big-export. It is number 2 in the queue."
    assert reason["position"] == 2
    assert reason["holders"] == [{"kind": "flow_run", "id": str(holder.id), "name": "big-export"}]


def test_a_free_agent_will_start_it_now(run: FlowRun, queue: WorkQueue) -> None:
    make_agent(queue)

    assert codes(run) == ["starting_now"]


def test_scheduler_behind(queue: WorkQueue) -> None:
    ServiceStatus.objects.update(last_success=database_time() - HOUR)
    make_agent(queue)

    reason = only(make_run(make_deployment(queue=queue)))

    assert reason["code"] == "scheduler_behind"
    assert (
        reason["text"] == "The scheduler has not worked for 60 min: nothing rings for runs that become due."
    )


def test_missed(run: FlowRun) -> None:
    """The claim leaves it, too."""
    schedule = make_schedule(run.deployment, cron="@hourly")
    report_success("materialise", ago=2 * HOUR)
    due = database_time() - HOUR
    FlowRun.objects.filter(id=run.id).update(schedule=schedule, slot=due, expected_start_time=due)
    run.refresh_from_db()

    reason = only(run)
    assert (reason["code"], reason["since"]) == ("missed", due)
    assert reason["link"] == {"kind": "schedule", "id": str(schedule.id)}
    assert reason["fix"] == "Start a scheduler: python manage.py scheduler"


def test_picked_by_agent(run: FlowRun) -> None:
    reason = only(lease(run))

    assert (reason["code"], reason["text"]) == (
        "picked_by_agent",
        "Agent test on localhost took it and is starting its process.",
    )


def test_pending_elsewhere(run: FlowRun) -> None:
    assert codes(enter(run, "PENDING")) == ["starting_now"]


@pytest.mark.parametrize(("state", "code"), [("CANCELLING", "cancelling"), ("PAUSED", "paused")])
def test_states_between(run: FlowRun, state: str, code: str) -> None:
    reason = only(enter(run, state))

    assert (reason["code"], reason["since"]) == (code, run.state_timestamp)


def test_few_queries(
    run: FlowRun, queue: WorkQueue, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(3):
        busy = lease(make_run())
        FlowRun.objects.filter(id=busy.id).update(agent=make_agent(queue))
    loaded = FlowRun.objects.select_related("deployment", "work_queue__work_pool").get(id=run.id)

    with django_assert_num_queries(7):
        assert codes(loaded) == ["agents_busy"]
