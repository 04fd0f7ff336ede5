"""Which run an agent gets, and what the claim leaves behind."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from django.db import connection

from agents.claim import CLAIM, Claimed, Lease, claim, look, release, renew
from agents.models import WorkPool, WorkQueue
from agents.pools import poll
from agents.registry import Identity, beat
from agents.services.database import database_time
from flows.models import Deployment
from flows.sdk.ids import uuid7
from flows.sdk.states import Cancelling, Completed, Crashed, Running
from runs.create import NewRun, insert_runs
from runs.models import FlowRun, TaskRun
from runs.session import DjangoSession, PsycopgSession, conninfo_of_django
from runs.transition import transition
from tests.agents.services.builders import make_schedule, report_success
from tests.factories import make_deployment, make_queue, make_run

pytestmark = pytest.mark.django_db

SESSION = DjangoSession()
HOUR = timedelta(hours=1)


@pytest.fixture
def agent() -> UUID:
    identity = Identity(name="agent", queue_ids=())
    beat(SESSION, identity)
    return identity.id


def claim_from(agent: UUID, *queues: WorkQueue) -> Claimed | None:
    return claim(SESSION, agent, [queue.id for queue in queues or [make_queue()]])


def test_a_claim_starts_an_attempt_with_a_lease(agent: UUID) -> None:
    deployment = make_deployment(entrypoint="etl.py:etl", path="/srv/flows")
    run = make_run(deployment, parameters={"year": 2015}, tags=["nightly"])

    claimed = claim_from(agent)

    assert claimed is not None
    assert (claimed.run.id, claimed.run.attempt, claimed.version) == (run.id, 1, run.version + 1)
    assert (claimed.run.flow_name, claimed.run.deployment_name) == ("etl", "prod")
    assert (claimed.run.parameters, claimed.run.tags) == ({"year": 2015}, ("nightly",))
    assert (claimed.entrypoint, claimed.path) == ("etl.py:etl", "/srv/flows")
    run.refresh_from_db()
    assert (run.state_type, run.attempt, run.agent_id) == ("PENDING", 1, agent)
    assert run.lease_expires is not None and run.claimed_time is not None
    assert run.states.latest("timestamp").id == run.state_id
    assert claim_from(agent) is None


def test_what_goes_first(agent: UUID) -> None:
    """Queue priority, then run priority, then how long a run is due."""
    slow, fast = make_queue("slow"), make_queue("fast")
    WorkQueue.objects.filter(id=slow.id).update(priority=2)
    of_slow = make_deployment("slow", queue=slow)
    of_fast = make_deployment("fast", queue=fast)
    past = datetime.now(UTC) - timedelta(minutes=1)
    make_run(of_slow, name="fourth", priority=9)
    make_run(of_fast, name="third")
    make_run(of_fast, name="second", scheduled_time=past)
    make_run(of_fast, name="first", priority=1)

    order = [claimed.run.name for _ in range(4) if (claimed := claim_from(agent, slow, fast))]

    assert order == ["first", "second", "third", "fourth"]


@pytest.mark.parametrize("above", ["queue", "pool", "deployment"])
def test_nothing_below_a_paused_row_starts(agent: UUID, above: str) -> None:
    deployment = make_deployment()
    make_run(deployment)
    queue = deployment.work_queue
    paused = {"queue": queue, "pool": queue.work_pool, "deployment": deployment}[above]
    paused.paused = True
    paused.save()
    assert claim_from(agent) is None


def test_a_paused_deployment_does_not_hold_up_its_queue(agent: UUID) -> None:
    make_run(make_deployment("asleep", paused=True))
    make_run(make_deployment("awake"), name="next")
    claimed = claim_from(agent)
    assert claimed is not None and claimed.run.name == "next"


def test_a_run_that_is_not_due_stays(agent: UUID) -> None:
    make_run(scheduled_time=datetime.now(UTC) + timedelta(minutes=1))
    assert claim_from(agent) is None


def test_other_queues_are_left_alone(agent: UUID) -> None:
    make_run()
    assert claim_from(agent, make_queue("another")) is None


def test_a_run_whose_deployment_was_deleted_is_claimed(agent: UUID) -> None:
    """Its horse says what is wrong; unclaimed it would wait for ever."""
    deployment = make_deployment()
    run = make_run(deployment)
    deployment.delete()
    claimed = claim_from(agent)
    assert claimed is not None and (claimed.run.id, claimed.entrypoint) == (run.id, "")


def test_what_the_row_says_of_a_lease(agent: UUID) -> None:
    run = make_run()
    assert claim_from(agent) is not None
    seen = [renew(SESSION, run.id, 1)]
    transition(SESSION, run.id, Running(), attempt=1)
    transition(SESSION, run.id, Cancelling())
    seen.append(look(SESSION, run.id, 1))
    seen.append(look(SESSION, run.id, 2))
    seen.append(look(SESSION, uuid7(), 1))
    assert seen == [Lease.HELD, Lease.CANCELLING, Lease.LOST, Lease.LOST]


@pytest.mark.parametrize(
    ("state", "lease"), [(Completed(), Lease.OVER), (Crashed(message="reaped"), Lease.LOST)]
)
def test_an_ended_attempt_no_longer_holds_its_lease(agent: UUID, state: Completed, lease: Lease) -> None:
    run = make_run()
    assert claim_from(agent) is not None
    transition(SESSION, run.id, Running(), attempt=1)
    transition(SESSION, run.id, state)
    assert renew(SESSION, run.id, 1) is lease
    assert FlowRun.objects.get(id=run.id).lease_expires is None


def test_renewing_extends_the_lease(agent: UUID) -> None:
    run = make_run()
    assert claim_from(agent) is not None
    FlowRun.objects.filter(id=run.id).update(lease_expires=datetime.now(UTC))
    before = datetime.now(UTC)
    renew(SESSION, run.id, 1)
    lease = FlowRun.objects.get(id=run.id).lease_expires
    assert lease is not None and lease > before + timedelta(seconds=5)


def test_a_claim_that_the_agent_never_heard_of_is_given_back(agent: UUID) -> None:
    run = make_run()
    assert claim_from(agent) is not None

    assert release(SESSION, agent) == [run.id]

    claimed = claim_from(agent)
    assert claimed is not None and (claimed.run.id, claimed.run.attempt) == (run.id, 2)


def test_the_claim_reads_the_partial_index() -> None:
    deployment = make_deployment()
    for _ in range(50):
        make_run(deployment)
    with connection.cursor() as cursor:
        # What PostgreSQL remembers of other tests' rows must not decide.
        cursor.execute("ANALYZE runs_flowrun")
        for other_way in ("seqscan", "bitmapscan", "sort"):
            cursor.execute(f"SET LOCAL enable_{other_way} = off")
        cursor.execute(f"EXPLAIN (FORMAT JSON) {CLAIM}", [[make_queue().id], [], uuid7(), uuid7()])
        plan = cursor.fetchone()[0]
    assert "flowrun_in_order" in json.dumps(plan)


@pytest.mark.parametrize(
    ("due_ago", "scheduler_ago", "is_taken"),
    [
        (HOUR, 2 * HOUR, False),  # missed: the policy of its schedule decides
        (HOUR, timedelta(seconds=5), True),  # it waited for an agent
        (timedelta(seconds=10), 2 * HOUR, True),  # on time, whatever became of the scheduler
        (HOUR, None, True),  # there has never been a scheduler
    ],
)
def test_what_was_missed_is_left_to_its_schedule(
    agent: UUID, due_ago: timedelta, scheduler_ago: timedelta | None, is_taken: bool
) -> None:
    schedule = make_schedule(make_deployment(), cron="@hourly")
    run = make_run(schedule.deployment)
    due = database_time() - due_ago
    FlowRun.objects.filter(id=run.id).update(schedule=schedule, slot=due, expected_start_time=due)
    if scheduler_ago is not None:
        report_success("materialise", ago=scheduler_ago)

    assert (claim_from(agent) is not None) is is_taken


def test_runs_of_the_future_are_not_missed() -> None:
    """A Prefect worker asks for them, too."""
    queue = make_queue("default", pool="prefect")
    WorkPool.objects.filter(id=queue.work_pool_id).update(type=WorkPool.Type.PREFECT)
    schedule = make_schedule(make_deployment(queue=queue), cron="@hourly")
    run = make_run(schedule.deployment)
    FlowRun.objects.filter(id=run.id).update(schedule=schedule, expected_start_time=database_time() + HOUR)
    report_success("materialise", ago=2 * HOUR)

    assert poll(queue.work_pool, [queue], before=None) == [(run.id, queue.id)]


def test_a_run_of_a_schedule_that_was_tried_goes_on_without_a_scheduler(agent: UUID) -> None:
    schedule = make_schedule(make_deployment(), cron="@hourly")
    run = make_run(schedule.deployment)
    due = database_time() - HOUR
    FlowRun.objects.filter(id=run.id).update(schedule=schedule, expected_start_time=due, attempt=1)
    report_success("materialise", ago=2 * HOUR)

    assert claim_from(agent) is not None


def test_the_reaper_reads_only_what_is_leased() -> None:
    expired = FlowRun.objects.filter(leased=True, lease_expires__lt=datetime.now(UTC))
    with connection.cursor() as cursor:
        for other_way in ("seqscan", "bitmapscan"):
            cursor.execute(f"SET LOCAL enable_{other_way} = off")
    assert "flowrun_leased" in expired.explain()


@pytest.fixture
def two_sessions(transactional_db: None) -> Iterator[tuple[PsycopgSession, PsycopgSession]]:
    sessions = PsycopgSession(conninfo_of_django()), PsycopgSession(conninfo_of_django())
    yield sessions
    for session in sessions:
        session.close()


def test_a_renewal_rewrites_the_row_in_place(
    two_sessions: tuple[PsycopgSession, PsycopgSession],
) -> None:
    """It changes no index: agents renew all the time, and each index entry would be written to disk."""
    session, observer = two_sessions
    identity = Identity(name="agent", queue_ids=())
    beat(session, identity)
    make_run()
    claimed = claim(session, identity.id, [make_queue().id])
    assert claimed is not None
    before = rewritten(session, observer)

    for _ in range(100):
        renew(session, claimed.run.id, claimed.run.attempt)

    updates, in_place = (
        after - each for after, each in zip(rewritten(session, observer), before, strict=True)
    )
    assert updates == 100
    assert in_place >= 95  # a page that is full of older versions is left once


def rewritten(session: PsycopgSession, observer: PsycopgSession) -> tuple[int, int]:
    """How many updates of runs there were, by what `session` did, and how many of them in place."""
    session.execute("SELECT pg_stat_force_next_flush()")
    (counts,) = observer.execute(
        "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'runs_flowrun'"
    )
    return counts[0], counts[1]


def test_two_agents_that_claim_at_once_get_different_runs(
    two_sessions: tuple[PsycopgSession, PsycopgSession],
) -> None:
    """The first claim, not yet committed, keeps nothing from the second but its own run."""
    one, two = two_sessions
    identity = Identity(name="agent", queue_ids=())
    beat(one, identity)
    queues = [make_queue("one"), make_queue("two")]
    names = {make_run(make_deployment(queue.name, queue=queue)).name for queue in queues}
    queue_ids = [queue.id for queue in queues]

    with one.transaction():
        first = claim(one, identity.id, queue_ids)
        second = claim(two, identity.id, queue_ids)

    assert first is not None and second is not None
    assert {first.run.name, second.run.name} == names


def test_of_equal_queues_the_one_that_waited_longer_is_served(agent: UUID) -> None:
    busy, quiet = make_queue("a-busy"), make_queue("b-quiet")
    for number in range(3):
        make_run(make_deployment(f"busy-{number}", queue=busy))
    waiting = make_run(make_deployment("quiet", queue=quiet))
    due = datetime.now(UTC) - timedelta(minutes=5)
    FlowRun.objects.filter(id=waiting.id).update(expected_start_time=due)

    claimed = claim_from(agent, busy, quiet)

    assert claimed is not None and claimed.run.id == waiting.id


def test_a_claim_tells_job_variables_and_the_run_that_started_this_one(agent: UUID) -> None:
    deployment = make_deployment()
    Deployment.objects.filter(id=deployment.id).update(job_variables={"memory": 512, "image": "etl"})
    now = datetime.now(UTC)
    parent = make_run(deployment, scheduled_time=now + timedelta(days=1))
    stand_in = TaskRun.objects.create(
        flow_run=parent, task_key="x", dynamic_key="0", name="x", state_timestamp=now, created=now
    )
    more = {"job_variables": {"memory": 8}, "parent_task_run_id": stand_in.id}
    insert_runs(SESSION, [NewRun.of(deployment, **more)])

    claimed = claim_from(agent)

    assert claimed is not None
    assert claimed.run.job_variables == {"memory": 8, "image": "etl"}
    assert (claimed.run.parent_run_id, claimed.run.parent_deployment_id) == (parent.id, deployment.id)
