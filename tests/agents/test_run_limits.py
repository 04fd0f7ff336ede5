"""Limits on runs, and whose turn it is: what a claim leaves alone, and what it takes first."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connections

from agents import doorbell
from agents.claim import claim
from agents.models import WorkPool, WorkQueue
from agents.registry import Identity, beat
from agents.services.database import database_time
from agents.services.sweeper import demands
from flows.models import Deployment, Workspace
from flows.sdk.states import Completed, Running, Suspended
from runs.models import FlowRun
from runs.models.flow_run import NEXT
from runs.session import DjangoSession, PsycopgSession, conninfo_of_django
from runs.transition import transition
from tests.agents.services.builders import fresh_queue, make_agent
from tests.factories import make_deployment, make_queue, make_run

pytestmark = pytest.mark.django_db

SESSION = DjangoSession()


@pytest.fixture
def agent() -> UUID:
    identity = Identity(name="agent", queue_ids=())
    beat(SESSION, identity)
    return identity.id


def take(agent: UUID, *queues: WorkQueue, served: tuple[UUID, ...] = ()) -> str | None:
    """The name of the run that a claim gets."""
    claimed = claim(SESSION, agent, [queue.id for queue in queues or [make_queue()]], served)
    return claimed and claimed.run.name


def limit(what: str, deployment: Deployment, number: int | None) -> None:
    queue = deployment.work_queue
    limited = {"deployment": deployment, "queue": queue, "pool": queue.work_pool}[what]
    limited.concurrency_limit = number
    limited.save()


@pytest.fixture(params=["deployment", "queue", "pool"])
def what(request: pytest.FixtureRequest) -> str:
    """Each kind of limit."""
    return str(request.param)


def test_no_more_runs_than_slots(agent: UUID, what: str) -> None:
    deployment = make_deployment()
    limit(what, deployment, 2)
    first = make_run(deployment, name="one")
    make_run(deployment, name="two")
    make_run(deployment, name="three")

    assert [take(agent) for _ in range(3)] == ["one", "two", None]

    transition(SESSION, first.id, Running(), attempt=1)
    assert take(agent) is None
    transition(SESSION, first.id, Completed(), attempt=1)
    assert take(agent) == "three"


def test_a_limit_of_none_holds_nobody_and_of_zero_everybody(agent: UUID, what: str) -> None:
    deployment = make_deployment()
    make_run(deployment, name="only")

    limit(what, deployment, 0)
    assert take(agent) is None
    limit(what, deployment, None)
    assert take(agent) == "only"


def test_a_limit_that_is_lowered_ends_nothing(agent: UUID, what: str) -> None:
    deployment = make_deployment()
    for name in ("one", "two", "three"):
        make_run(deployment, name=name)
    limit(what, deployment, 2)
    assert (take(agent), take(agent)) == ("one", "two")

    limit(what, deployment, 1)

    assert FlowRun.objects.filter(lease_expires__isnull=False).count() == 2
    assert take(agent) is None


def test_a_suspended_run_gives_its_slot_back(agent: UUID, what: str) -> None:
    deployment = make_deployment()
    limit(what, deployment, 1)
    first = make_run(deployment, name="one")
    make_run(deployment, name="two")
    take(agent)
    transition(SESSION, first.id, Running(), attempt=1)

    transition(SESSION, first.id, Suspended(), attempt=1)

    assert take(agent) == "two"


def test_a_run_of_a_prefect_worker_takes_a_slot_without_a_lease(agent: UUID, what: str) -> None:
    deployment = make_deployment()
    limit(what, deployment, 1)
    elsewhere = make_run(deployment)
    FlowRun.objects.filter(id=elsewhere.id).update(state_type="RUNNING")
    make_run(deployment)

    assert take(agent) is None


def test_a_full_deployment_does_not_hold_up_its_queue(agent: UUID) -> None:
    full = make_deployment("full", concurrency_limit=1)
    for _ in range(3):
        make_run(full)
    make_run(make_deployment("free"), name="free")
    take(agent)

    assert take(agent) == "free"


def test_a_full_queue_does_not_hold_up_the_others_of_its_pool(agent: UUID) -> None:
    full, free = make_queue("full"), make_queue("free")
    WorkQueue.objects.filter(id=full.id).update(concurrency_limit=0)
    make_run(make_deployment("a", queue=full))
    make_run(make_deployment("b", queue=free), name="free")

    assert take(agent, full, free) == "free"


def test_the_limit_of_a_pool_counts_all_its_queues(agent: UUID) -> None:
    one, two = make_queue("one"), make_queue("two")
    WorkPool.objects.update(concurrency_limit=1)
    make_run(make_deployment("a", queue=one))
    make_run(make_deployment("b", queue=two))

    assert take(agent, one) is not None
    assert take(agent, two) is None


@pytest.mark.parametrize(("type", "claimed"), [("agents", True), ("process", True), ("prefect", False)])
def test_agents_leave_pools_to_prefect_workers(agent: UUID, type: str, claimed: bool) -> None:
    make_run()
    WorkPool.objects.update(type=type)

    assert (take(agent) is not None) is claimed


def test_no_ring_for_what_waits_for_a_slot(what: str) -> None:
    deployment = make_deployment()
    make_agent(deployment.work_queue)
    make_run(deployment)
    assert len(demands(database_time())) == 1

    limit(what, deployment, 0)

    assert demands(database_time()) == []


@pytest.fixture
def agents(transactional_db: None) -> Iterator[list[PsycopgSession]]:
    sessions = [PsycopgSession(conninfo_of_django()) for _ in range(6)]
    yield sessions
    for session in sessions:
        session.close()


def test_many_agents_that_claim_at_once_keep_the_limit(agents: list[PsycopgSession], what: str) -> None:
    """Each counts in a snapshot from before the others' claims: only counting again shows them."""
    deployment = make_deployment()
    limit(what, deployment, 3)
    for _ in range(20):
        make_run(deployment)
    identity = Identity(name="agent", queue_ids=())
    beat(agents[0], identity)
    queue_ids = [deployment.work_queue_id]
    begin = threading.Barrier(len(agents))
    taken: list[Any] = []

    def serve(session: PsycopgSession) -> None:
        begin.wait()
        for _ in range(5):
            taken.append(claim(session, identity.id, queue_ids))

    threads = [threading.Thread(target=serve, args=[session]) for session in agents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    connections.close_all()

    assert len([each for each in taken if each]) == 3
    assert FlowRun.objects.filter(lease_expires__isnull=False).count() == 3


def ago(minutes: float) -> datetime:
    return datetime.now(UTC) - timedelta(minutes=minutes)


def test_waiting_raises_the_priority_by_a_level_every_five_minutes(agent: UUID) -> None:
    deployment = make_deployment()
    make_run(deployment, name="important", priority=2)
    make_run(deployment, name="waited 9 minutes", scheduled_time=ago(9))
    make_run(deployment, name="waited 11 minutes", scheduled_time=ago(11))

    order = [take(agent) for _ in range(3)]

    assert order == ["waited 11 minutes", "important", "waited 9 minutes"]


def test_nothing_starves_behind_what_is_more_important(agent: UUID) -> None:
    """A new run of the highest priority every minute: the humble one starts after 100 of them, not never."""
    deployment = make_deployment()
    make_run(deployment, name="humble", priority=-10, scheduled_time=ago(200))
    for minute in range(200):
        make_run(deployment, name="important", priority=10, scheduled_time=ago(200 - minute))

    before = 0
    while take(agent) != "humble":
        before += 1

    assert 99 <= before <= 101


def test_run_next_goes_before_all_others(agent: UUID) -> None:
    deployment = make_deployment()
    make_run(deployment, name="important", priority=10, scheduled_time=ago(60))
    make_run(deployment, name="next", priority=NEXT)

    assert take(agent) == "next"


def test_a_run_of_high_priority_waits_until_it_is_due(agent: UUID) -> None:
    deployment = make_deployment()
    make_run(deployment, name="later", priority=10, scheduled_time=ago(-5))
    make_run(deployment, name="now", priority=-10)

    assert [take(agent), take(agent)] == ["now", None]


@pytest.fixture
def tenants() -> list[WorkQueue]:
    """A noisy workspace with a backlog of an hour, and a quiet one with a run of just now."""
    noisy = make_queue(workspace=Workspace.objects.create(name="noisy"))
    quiet = make_queue(workspace=Workspace.objects.create(name="quiet"))
    for number in range(10):
        make_run(make_deployment(f"n{number}", queue=noisy), name="noise", scheduled_time=ago(60))
    for number in range(2):
        make_run(make_deployment(f"q{number}", queue=quiet), name="quiet")
    return [noisy, quiet]


def test_the_workspace_with_fewer_runs_under_way_goes_first(agent: UUID, tenants: list[WorkQueue]) -> None:
    assert [take(agent, *tenants) for _ in range(5)] == ["noise", "quiet", "noise", "quiet", "noise"]


def test_workspaces_take_turns_when_their_runs_are_short(agent: UUID, tenants: list[WorkQueue]) -> None:
    noisy, quiet = (queue.work_pool.workspace_id for queue in tenants)

    assert take(agent, *tenants, served=(quiet, noisy)) == "quiet"


def test_a_slot_given_back_rings_for_whoever_waits_for_it(
    agent: UUID, what: str, django_capture_on_commit_callbacks: Any
) -> None:
    deployment = make_deployment(queue=fresh_queue())
    queue = deployment.work_queue
    limit(what, deployment, 1)
    first = make_run(deployment)
    make_run(deployment)
    take(agent, queue)
    doorbell.rq_queue(queue.id).empty()

    with django_capture_on_commit_callbacks(execute=True):
        transition(SESSION, first.id, Running(), attempt=1)
    assert doorbell.rq_queue(queue.id).count == 0
    with django_capture_on_commit_callbacks(execute=True):
        transition(SESSION, first.id, Completed(), attempt=1)

    assert doorbell.rq_queue(queue.id).count == 1
    doorbell.rq_queue(queue.id).empty()


def test_a_run_that_ends_where_nothing_is_limited_rings_for_nobody(
    agent: UUID, django_capture_on_commit_callbacks: Any
) -> None:
    deployment = make_deployment(queue=fresh_queue())
    first = make_run(deployment)
    make_run(deployment)
    take(agent, deployment.work_queue)

    with django_capture_on_commit_callbacks(execute=True):
        transition(SESSION, first.id, Completed(), attempt=1)

    assert doorbell.rq_queue(deployment.work_queue_id).count == 0
