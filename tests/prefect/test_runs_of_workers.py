"""Runs that a Prefect worker has: cancelled, tried again, and what a person reads about them."""

from datetime import timedelta

import pytest

from agents.models import WorkPool, WorkQueue
from agents.pools import make_pool, poll
from agents.services.cancellations import CONFIRMED_WITHIN, end_cancellations
from agents.services.database import database_time
from agents.waiting import waiting_on
from flows.models import Workspace
from flows.sdk.states import Cancelling, Failed, Pending, Running, Scheduled
from runs.models import FlowRun
from runs.session import DjangoSession
from runs.transition import transition
from tests.factories import lease, make_deployment, make_run

pytestmark = pytest.mark.django_db
SECOND = timedelta(seconds=1)


@pytest.fixture
def queue(workspace: Workspace) -> WorkQueue:
    pool = make_pool(WorkPool(workspace=workspace, name="px", type="prefect", worker_type="process"))
    found: WorkQueue = pool.queues.get()
    return found


@pytest.fixture
def run(queue: WorkQueue) -> FlowRun:
    """A run that a Prefect worker has started."""
    made = make_run(make_deployment(queue=queue))
    for state in (Pending(), Running()):
        transition(DjangoSession(), made.id, state)
    return made


def state_of(run: FlowRun) -> str:
    run.refresh_from_db()
    return str(run.state_name)


def test_a_cancellation_that_nobody_confirms_ends(run: FlowRun) -> None:
    now = database_time()
    transition(DjangoSession(), run.id, Cancelling())

    end_cancellations(now + CONFIRMED_WITHIN - SECOND)
    before = state_of(run)
    end_cancellations(now + CONFIRMED_WITHIN + timedelta(minutes=1))

    assert (before, state_of(run)) == ("Cancelling", "Cancelled")


def test_agents_end_their_own(queue: WorkQueue) -> None:
    mine = lease(make_run())
    transition(DjangoSession(), mine.id, Cancelling())

    end_cancellations(database_time() + timedelta(hours=1))

    assert state_of(mine) == "Cancelling"


def said(run: FlowRun) -> list[tuple[str, str]]:
    return [(reason["code"], reason["text"]) for reason in waiting_on(FlowRun.objects.get(id=run.id))]


def test_a_run_that_a_worker_has_taken(queue: WorkQueue) -> None:
    run = make_run(make_deployment(queue=queue))
    transition(DjangoSession(), run.id, Pending())
    FlowRun.objects.filter(id=run.id).update(labels={"prefect.worker.name": "w1"})

    [(code, text)] = said(run)

    assert code == "picked_by_prefect"
    assert "Prefect worker w1 took it" in text


def test_a_run_that_is_cancelled_at_its_worker(run: FlowRun) -> None:
    transition(DjangoSession(), run.id, Cancelling())

    [(code, text)] = said(run)

    assert code == "cancelling"
    assert "Its Prefect worker" in text and "after 5 minutes" in text


def test_a_retry_that_waits_in_its_process_is_not_handed_out(run: FlowRun, queue: WorkQueue) -> None:
    FlowRun.objects.filter(id=run.id).update(empirical_policy={"retries": 3, "retry_delay": 0})
    transition(DjangoSession(), run.id, Failed())
    assert state_of(run) == "AwaitingRetry"
    waiting = poll(queue.work_pool, [queue], None)

    transition(DjangoSession(), run.id, Scheduled(), force=True)

    assert waiting == []
    assert [run_id for run_id, _ in poll(queue.work_pool, [queue], None)] == [run.id]
