"""An agent that is killed or stopped."""

import signal

import pytest

from agents.models import Agent
from agents.registry import online_agents, resolve
from runs.models import FlowRun
from tests.faults.conftest import Stage, is_alive
from tests.processes import wait_until

pytestmark = pytest.mark.processes


def test_nothing_of_a_run_survives_its_agent(stage: Stage) -> None:
    agent = stage.agent()
    run = stage.create("stubborn")
    processes = [stage.started(run), stage.child()]

    agent.kill()

    wait_until(lambda: not any(map(is_alive, processes)), what="horse and child are gone")


def test_the_first_signal_lets_the_run_finish(stage: Stage) -> None:
    agent = stage.agent()
    run = stage.create("hold")
    stage.started(run)
    next_run = stage.create("quick")

    agent.signal(signal.SIGTERM)
    agent.wait_for("Stopping when the current run is over")
    stage.go()

    assert agent.wait() == 0
    assert stage.ended(run).state_type == "COMPLETED"
    next_run.refresh_from_db()
    assert next_run.state_type == "SCHEDULED"


def test_an_idle_agent_stops_at_once_and_signs_off(stage: Stage) -> None:
    agent = stage.agent()
    queue = resolve("default")
    assert [online.pid for online in online_agents(queue.id)] == [agent.pid]

    agent.signal(signal.SIGTERM)

    assert agent.wait() == 0
    assert Agent.objects.get().stopped is not None
    assert not online_agents(queue.id)


def test_an_agent_whose_lease_was_taken_stops_its_horse(stage: Stage) -> None:
    """As after a pause of the whole machine: meanwhile the reaper crashed the run."""
    agent = stage.agent()
    run = stage.create("stubborn")
    horse = stage.started(run)

    FlowRun.objects.filter(id=run.id).update(attempt=2)

    agent.wait_for("the run was taken from this agent")
    wait_until(lambda: not is_alive(horse), what="the horse is gone")
    run.refresh_from_db()
    assert run.state_type == "RUNNING"  # the new owner's business


def test_a_run_is_executed_once_however_often_its_bell_rings(stage: Stage) -> None:
    from agents import doorbell

    stage.agent()
    run = stage.create("count")
    for _ in range(5):
        doorbell.ring(resolve("default").id)
    stage.ended(run)
    assert stage.ended(stage.create("quick")).state_type == "COMPLETED"
    assert (stage.folder / "executions").read_text() == "once\n"
