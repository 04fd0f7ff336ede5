"""Rings: as many as agents can use, at the moment at which runs are due."""

import time
from collections.abc import Iterator
from datetime import timedelta
from zlib import crc32

import psycopg
import pytest
from pytest_django import DjangoAssertNumQueries

from agents import doorbell
from agents.models import WorkQueue
from agents.services.database import database_time
from agents.services.ringer import AHEAD, Ringer
from agents.services.sweeper import ring_what_is_owed, sweep
from flows.models import Deployment
from runs.models import FlowRun
from runs.session import conninfo_of_django
from tests.agents.services.builders import fresh_queue, make_agent
from tests.factories import lease, make_deployment, make_run

pytestmark = pytest.mark.django_db


@pytest.fixture
def queue() -> Iterator[WorkQueue]:
    made = fresh_queue()
    yield made
    doorbell.rq_queue(made.id).empty()


@pytest.fixture
def deployment(queue: WorkQueue) -> Deployment:
    return make_deployment(queue=queue)


def rings(queue: WorkQueue) -> int:
    return int(doorbell.rq_queue(queue.id).count)


@pytest.mark.parametrize(
    ("runs", "agents", "pending", "expected"),
    [(5, 2, 0, 2), (1, 3, 0, 1), (5, 3, 2, 3), (1, 1, 4, 4), (0, 2, 0, 0), (3, 0, 0, 0)],
)
def test_rings_owed(
    deployment: Deployment, queue: WorkQueue, runs: int, agents: int, pending: int, expected: int
) -> None:
    """min(due runs, agents) - pending rings, never below 0."""
    for _ in range(runs):
        make_run(deployment)
    for _ in range(agents):
        make_agent(queue)
    for _ in range(pending):
        doorbell.ring(queue.id)

    sweep(database_time())

    assert rings(queue) == expected


def test_rings_are_lost_with_redis_and_made_again(deployment: Deployment, queue: WorkQueue) -> None:
    make_run(deployment)
    make_agent(queue)
    sweep(database_time())
    doorbell.rq_queue(queue.id).empty()

    sweep(database_time())

    assert rings(queue) == 1


@pytest.mark.parametrize("what", ["leased", "not due", "deployment", "queue", "pool"])
def test_no_ring_for_what_no_agent_may_claim(deployment: Deployment, queue: WorkQueue, what: str) -> None:
    make_agent(queue)
    run = make_run(deployment)
    if what == "leased":
        lease(run)
    elif what == "not due":
        FlowRun.objects.update(expected_start_time=database_time() + timedelta(hours=1))
    else:
        paused = {"deployment": deployment, "queue": queue, "pool": queue.work_pool}[what]
        paused.paused = True
        paused.save()

    assert ring_what_is_owed(database_time()) == 0


@pytest.mark.parametrize("gone", ["silent", "stopped"])
def test_an_agent_that_left_needs_no_ring(deployment: Deployment, queue: WorkQueue, gone: str) -> None:
    make_run(deployment)
    if gone == "silent":
        make_agent(queue, seen=timedelta(minutes=1))
    else:
        make_agent(queue, stopped=database_time())

    assert ring_what_is_owed(database_time()) == 0


def test_many_queues_cost_one_query(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    queues = [fresh_queue() for _ in range(5)]
    make_agent(*queues)
    for queue in queues:
        make_run(make_deployment(name=queue.name, queue=queue))
        doorbell.ring(queue.id)

    now = database_time()
    with django_assert_num_queries(3 + 1):  # lock and savepoint; the demand of all queues
        ring_what_is_owed(now)


def test_the_ringer_names_the_moment_before_the_next_run_is_due(deployment: Deployment) -> None:
    now = database_time()
    soon = make_run(deployment, scheduled_time=now + timedelta(seconds=3))
    make_run(deployment, scheduled_time=now + timedelta(seconds=9))

    assert Ringer().step(now) == soon.expected_start_time - AHEAD


def test_the_ringer_comes_early_and_rings_in_time(deployment: Deployment, queue: WorkQueue) -> None:
    now = database_time()
    due = now + timedelta(seconds=3)
    make_agent(queue)
    make_run(deployment, scheduled_time=due)
    ringer = Ringer()
    ringer.step(now)

    began = time.monotonic()
    ringer.step(due - timedelta(milliseconds=10))
    assert time.monotonic() - began >= 0.01
    assert rings(queue) == 1


def test_nothing_is_rung_before_it_is_due(deployment: Deployment, queue: WorkQueue) -> None:
    due = database_time() + timedelta(seconds=3)
    make_agent(queue)
    make_run(deployment, scheduled_time=due)
    before: list[int] = []

    ring_what_is_owed(due, lambda: before.append(rings(queue)))
    assert (before, rings(queue)) == ([0], 1)


def test_the_ringer_rings_once_when_a_run_becomes_due(deployment: Deployment, queue: WorkQueue) -> None:
    now = database_time()
    due = now + timedelta(seconds=3)
    make_agent(queue)
    make_run(deployment, scheduled_time=due)
    ringer = Ringer()

    ringer.step(now)
    before = rings(queue)
    ringer.step(due)
    at_the_moment = rings(queue)
    ringer.step(due + timedelta(milliseconds=1))

    assert (before, at_the_moment, rings(queue)) == (0, 1, 1)


def test_while_another_scheduler_rings_the_ringer_looks_again_in_a_moment(
    deployment: Deployment, queue: WorkQueue
) -> None:
    now = database_time()
    make_agent(queue)
    make_run(deployment, scheduled_time=now + timedelta(seconds=1))
    ringer, due = Ringer(), now + timedelta(seconds=2)
    ringer.step(now)

    with psycopg.connect(**conninfo_of_django()) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s::bigint)", [crc32(b"portal.services.sweep")])
        again = ringer.step(due)
    unrung = rings(queue)
    ringer.step(due)

    assert again is not None and due < again < due + timedelta(milliseconds=50)
    assert (unrung, rings(queue)) == (0, 1)


def test_a_clock_that_is_put_back_delays_no_ring(deployment: Deployment, queue: WorkQueue) -> None:
    now = database_time()
    ringer = Ringer()
    ringer.step(now + timedelta(hours=1))
    due = now + timedelta(seconds=5)
    make_agent(queue)
    make_run(deployment, scheduled_time=due)

    assert ringer.step(now) == due - AHEAD
    ringer.step(due)
    assert rings(queue) == 1
