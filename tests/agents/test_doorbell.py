"""Rings, and the half of an agent that waits for them."""

from collections.abc import Iterator

import pytest

from agents import doorbell
from agents.models import WorkQueue
from agents.ring_listener import RingListener
from tests.factories import make_queue

pytestmark = pytest.mark.django_db


@pytest.fixture
def queue() -> WorkQueue:
    return make_queue("bells")


@pytest.fixture
def listener(queue: WorkQueue) -> Iterator[RingListener]:
    name = doorbell.list_name("default", "default", queue.name)
    doorbell.connection().flushdb()
    yield RingListener([name], "listener", drain_seconds=1)


def kept() -> list[str]:
    """What Redis keeps of rings."""
    return [key.decode() for key in doorbell.connection().scan_iter("rq:job:*")]


def commands() -> int:
    """How many commands the server has processed."""
    found = doorbell.connection().info("stats")["total_commands_processed"]
    return int(found)


def test_a_ring_wakes_and_is_forgotten_before_the_next_wait(queue: WorkQueue, listener: RingListener) -> None:
    doorbell.ring_times(queue.id, 2)
    assert listener.listen(blocking=False)
    assert listener.listen(blocking=False)
    assert not listener.listen(blocking=False)
    assert not kept()


def test_an_answer_costs_one_command(queue: WorkQueue, listener: RingListener) -> None:
    """It stands between the moment at which a run is due and its claim."""
    doorbell.ring(queue.id)
    before = commands()
    assert listener.listen(blocking=False)
    assert commands() - before == 2  # the second is the question itself


def test_a_ring_that_nobody_deletes_expires(queue: WorkQueue, listener: RingListener) -> None:
    doorbell.ring(queue.id)
    [key] = kept()
    assert 0 < doorbell.connection().ttl(key) <= doorbell.RING_SECONDS
