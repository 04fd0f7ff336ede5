"""Runs whose Prefect process says nothing any more, and what a person reads about runs that it has."""

from datetime import datetime, timedelta

import pytest

from agents.models import WorkPool, WorkQueue
from agents.pools import make_pool, poll
from agents.services.database import database_time
from agents.services.silent import CANCELLED_AFTER, SILENT_AFTER, end_silent_runs
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


def heard(run: FlowRun, time: datetime) -> None:
    FlowRun.objects.filter(id=run.id).update(last_heartbeat=time)


def state_of(run: FlowRun) -> str:
    run.refresh_from_db()
    return str(run.state_name)


def test_a_run_that_is_not_heard_any_more_has_crashed(run: FlowRun) -> None:
    now = database_time()
    heard(run, now)

    end_silent_runs(now + SILENT_AFTER)
    before = state_of(run)
    end_silent_runs(now + SILENT_AFTER + SECOND)

    assert (before, state_of(run)) == ("Running", "Crashed")
    assert "was last heard at" in run.state_message


def test_a_client_without_heartbeats_is_left_alone(run: FlowRun) -> None:
    end_silent_runs(database_time() + timedelta(days=1))

    assert state_of(run) == "Running"


def test_a_run_that_goes_on_after_a_long_suspension_has_time_to_be_heard(run: FlowRun) -> None:
    now = database_time()
    heard(run, now - timedelta(hours=2))

    end_silent_runs(now + SECOND)

    assert state_of(run) == "Running"


def test_a_cancellation_that_nobody_confirms_ends(run: FlowRun) -> None:
    now = database_time()
    transition(DjangoSession(), run.id, Cancelling())

    end_silent_runs(now + CANCELLED_AFTER - SECOND)
    before = state_of(run)
    end_silent_runs(now + CANCELLED_AFTER + timedelta(minutes=1))

    assert (before, state_of(run)) == ("Cancelling", "Cancelled")


def test_agents_end_their_own(queue: WorkQueue) -> None:
    mine = lease(make_run())
    transition(DjangoSession(), mine.id, Cancelling())

    end_silent_runs(database_time() + timedelta(hours=1))

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
