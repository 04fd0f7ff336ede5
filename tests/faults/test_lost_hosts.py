"""Hosts that are lost with all that they run: agents by the score, and the scheduler in the same moment."""

import signal

import pytest

from agents.claim import claim
from agents.registry import Identity, beat, resolve
from flows.sdk.recorder import Status
from flows.sdk.states import Completed
from runs.models import FlowRun
from runs.session import DjangoSession
from runs.transition import transition
from tests.faults.conftest import Stage
from tests.faults.load import Load
from tests.processes import Child, wait_until

pytestmark = pytest.mark.processes

CLAIMS = 18


def claimed_by_agents_of_another_host() -> None:
    """Each run that is due belongs to an agent of its own, which says nothing after that."""
    queue = resolve("default")
    for number in range(CLAIMS):
        agent = Identity(name=f"far-{number}", queue_ids=(queue.id,))
        beat(DjangoSession(), agent)
        assert claim(DjangoSession(), agent.id, agent.queue_ids) is not None


def busy(stage: Stage) -> tuple[FlowRun, Child]:
    """A run that has begun, and its agent."""
    agent = stage.agent()
    run = stage.create("unlucky")
    stage.started(run)
    wait_until(lambda: FlowRun.objects.filter(id=run.id, state_type="RUNNING").exists(), what="it runs")
    return run, agent


def test_all_runs_of_a_host_that_is_lost_are_executed_by_another(stage: Stage) -> None:
    """Of three agents two die in one moment with the only scheduler, and with 18 agents elsewhere."""
    scheduler = stage.stack.start("scheduler")
    scheduler.wait_for("Scheduler started")
    runs, agents = zip(busy(stage), busy(stage), strict=True)
    load = Load(stage, CLAIMS)
    claimed_by_agents_of_another_host()

    for process in (*agents, scheduler):
        process.signal(signal.SIGKILL)
    stage.stack.start("scheduler")
    stage.go()
    third = stage.agent()

    for run in runs:
        assert stage.ended(run, timeout=60).state_type == "COMPLETED"
        late = transition(DjangoSession(), run.id, Completed(), attempt=1)
        assert (run.attempt, late.status) == (2, Status.ABORT)
    wait_until(load.is_over, 60, what="the others are executed, too")
    load.assert_each_completed_once()
    assert third.is_alive
