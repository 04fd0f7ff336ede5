"""An agent whose system has no room for what a run needs besides its process."""

import os
from pathlib import Path

import pytest

from agents import doorbell
from agents.guard import Guard
from agents.offspring import children
from agents.recycling import Recycling
from agents.registry import Identity, resolve
from agents.worker import AgentWorker
from runs.create import create_flow_run
from runs.session import conninfo_of_django
from tests.factories import make_deployment
from tests.processes import RunningStack

pytestmark = pytest.mark.processes


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def worker(stack: RunningStack) -> AgentWorker:
    """An agent in this process."""
    queue = resolve("default")
    identity = Identity(name="mole", queue_ids=(queue.id,))
    lists = [doorbell.rq_queue(queue.id).name]
    return AgentWorker(lists, identity, conninfo_of_django(), 30, Recycling())


@pytest.mark.parametrize("stands_by", [True, False])
def test_a_run_that_nobody_could_watch_leaves_nothing_behind(
    worker: AgentWorker, monkeypatch: pytest.MonkeyPatch, stands_by: bool
) -> None:
    assert not worker.take_one()
    run = create_flow_run(make_deployment("hello", "hello"))
    worker._spare.prepare()
    before = descriptors(), children()
    if stands_by:
        worker._standby.prepare()

    def full(*arguments: object) -> None:
        raise OSError("Too many open files")

    monkeypatch.setattr("agents.supervision.os.pidfd_open", full)
    assert worker.take_one()

    run.refresh_from_db()
    assert "could not start a process: Too many open files" in run.state_message
    assert worker._spare.session is None
    assert children() <= before[1]
    assert descriptors() <= before[0]


def test_a_guard_that_cannot_start_leaves_no_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object, **rest: object) -> None:
        raise OSError("Resource temporarily unavailable")

    monkeypatch.setattr("agents.guard.os.posix_spawn", full)
    before = descriptors()
    with pytest.raises(OSError, match="temporarily"):
        Guard(os.getpid())
    assert descriptors() == before
