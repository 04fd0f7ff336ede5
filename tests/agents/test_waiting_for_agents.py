"""Runs that wait for an agent: what it is at, what became of it, and what it is not asked for."""

from datetime import timedelta
from uuid import uuid4

import pytest

from agents.models import Agent, WorkQueue
from agents.reasons import Reason
from agents.services.database import database_time
from agents.waiting import waiting_on
from flows.models import Workspace
from flows.sdk.states import AwaitingRetry, Running
from runs.models import Errand, FlowRun
from runs.session import DjangoSession
from runs.transition import transition
from tests.agents.services.builders import make_agent, report_success
from tests.factories import lease, make_deployment, make_queue, make_run

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def a_working_scheduler() -> None:
    report_success("sweep")


@pytest.fixture
def queue() -> WorkQueue:
    return make_queue("mill")


@pytest.fixture
def run(queue: WorkQueue) -> FlowRun:
    return make_run(make_deployment(queue=queue))


def only(run: FlowRun) -> Reason:
    [reason] = waiting_on(run)
    return reason


def busy(agent: Agent, run: FlowRun) -> None:
    FlowRun.objects.filter(id=lease(run).id).update(agent=agent, claimed_time=database_time())


def carries_out_a_task(agent: Agent, queue: WorkQueue) -> None:
    Errand.objects.create(
        workspace=queue.work_pool.workspace, work_queue=queue, payload=b"", holder=uuid4(),
        agent_id=agent.id, lease_expires=database_time() + timedelta(seconds=8),
    )  # fmt: skip


def test_runs_of_other_workspaces_are_counted_and_not_named(run: FlowRun, queue: WorkQueue) -> None:
    theirs = make_deployment("secret", queue=make_queue(workspace=Workspace.objects.create(name="quiet")))
    busy(make_agent(queue), make_run(theirs, name="merger-with-acme"))

    reason = only(run)

    assert "busy with 1 run of other workspaces." in reason["text"]
    assert reason["holders"] == []
    assert reason["link"] == {"kind": "work_queue", "id": str(queue.id)}


def test_an_agent_that_carries_out_tasks_is_busy(run: FlowRun, queue: WorkQueue) -> None:
    busy(make_agent(queue), make_run(name="big-export"))
    carries_out_a_task(make_agent(queue), queue)

    text = only(run)["text"]

    assert "busy with big-export and tasks that other processes have given them." in text


def test_a_stopping_agent_is_said_to_be_stopping(run: FlowRun, queue: WorkQueue) -> None:
    make_agent(queue, draining=database_time())

    assert only(run)["text"].endswith("anna on mill is stopping, and takes no more runs.")


def test_a_refused_agent_tells_why(run: FlowRun, queue: WorkQueue) -> None:
    make_agent(queue, stopped=database_time(), refused="the database is newer. Update Portal on this host.")

    assert only(run)["text"].endswith("the database is newer. Update Portal on this host.")


def test_a_retry_in_its_own_process_waits_for_its_time_alone(run: FlowRun, queue: WorkQueue) -> None:
    """Neither the paused queue nor the missing agent has to do with it."""
    attempt = lease(run).attempt
    WorkQueue.objects.update(paused=True)
    transition(DjangoSession(), run.id, Running(), attempt=attempt)
    later = AwaitingRetry(database_time() + timedelta(seconds=30), details={"retry_in_process": True})
    transition(DjangoSession(), run.id, later, attempt=attempt)
    run.refresh_from_db()

    assert run.lease_expires is not None
    assert only(run)["code"] == "retry_wait"
