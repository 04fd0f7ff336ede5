"""An agent that is asked to stop finishes its run, or hands it back: nothing is lost, no try is used up."""

import signal
from pathlib import Path

import pytest

from agents import doorbell
from agents.models import Agent
from agents.recycling import Recycling
from agents.registry import Identity, online_agents, resolve
from agents.worker import AgentWorker
from flows.models import Deployment
from runs.create import create_flow_run
from runs.models import FlowRun, TaskRun
from runs.resume import resume
from runs.session import DjangoSession, conninfo_of_django
from tests.factories import make_deployment
from tests.faults.conftest import Stage, is_alive
from tests.processes import Child, wait_until

pytestmark = pytest.mark.processes

HANDED_BACK = "Handed back: its agent is stopping, the next one takes it."


def deployed(flow: str, *, hand_back: bool = True) -> Deployment:
    here = str(Path(__file__).parent)
    return make_deployment(flow, flow, path=here, entrypoint=f"agent_file.py:{flow}", hand_back=hand_back)


def begun(stage: Stage, flow: str, *, hand_back: bool = True) -> tuple[FlowRun, int]:
    """A run of `flow`, and the pid of its process."""
    run = create_flow_run(deployed(flow, hand_back=hand_back), parameters={"folder": str(stage.folder)})
    pid = stage.started(run)
    wait_until(lambda: FlowRun.objects.filter(id=run.id, state_type="RUNNING").exists(), what="it runs")
    return run, pid


def events(stage: Stage) -> list[str]:
    return (stage.folder / "events").read_text().splitlines()


def insist(agent: Child) -> None:
    """Send the second signal, until it is one: within a second of the first it counts as the same wish."""

    def again() -> bool:
        if agent.is_alive:
            agent.signal(signal.SIGTERM)
        return not agent.is_alive

    wait_until(again, what="the agent stops")


def test_a_run_that_takes_longer_than_the_drain_time_is_handed_back(stage: Stage) -> None:
    agent = stage.agent("--drain-seconds", "0.5")
    run, horse = begun(stage, "in_halves")

    agent.signal(signal.SIGTERM)

    assert agent.wait() == 0
    assert not is_alive(horse)
    run.refresh_from_db()
    assert (run.state_type, run.state_name, run.state_message) == ("SCHEDULED", "Scheduled", HANDED_BACK)
    assert run.lease_expires is None
    assert set(TaskRun.objects.values_list("name", "state_type")) >= {("first_half-0", "COMPLETED")}
    assert not TaskRun.objects.filter(state_type__in=["RUNNING", "PENDING", "SCHEDULED"]).exists()

    stage.agent()
    stage.started(run)
    stage.go()

    stage.ended(run)
    assert run.state_type == "COMPLETED"
    assert (run.run_count, run.crash_count, run.attempt) == (1, 0, 2)
    assert events(stage) == ["first half", "second half", "cleaned up", "second half", "cleaned up"]


def test_another_agent_takes_it_at_once(stage: Stage) -> None:
    agent = stage.agent("--drain-seconds", "0.5")
    run, _ = begun(stage, "in_halves")
    stage.agent()

    agent.signal(signal.SIGTERM)

    stage.started(run)
    stage.go()
    assert stage.ended(run).state_type == "COMPLETED"


def test_an_async_flow_is_handed_back_too(stage: Stage) -> None:
    agent = stage.agent("--drain-seconds", "0")
    run, _ = begun(stage, "in_a_loop")
    agent.signal(signal.SIGTERM)
    assert agent.wait() == 0
    run.refresh_from_db()
    assert run.state_message == HANDED_BACK
    assert events(stage) == ["cleaned up"]


def test_a_second_signal_hands_the_run_back_at_once(stage: Stage) -> None:
    agent = stage.agent()
    run, horse = begun(stage, "deaf")

    agent.signal(signal.SIGTERM)
    agent.wait_for("Stopping when the current run is over, or after 30 s")
    insist(agent)

    run.refresh_from_db()
    assert (run.state_type, run.state_message) == ("SCHEDULED", HANDED_BACK)
    assert not is_alive(horse)


def test_a_flow_that_does_not_listen_is_killed_before_its_run_is_handed_back(stage: Stage) -> None:
    agent = stage.agent("--drain-seconds", "0")
    run, horse = begun(stage, "deaf")
    agent.signal(signal.SIGTERM)
    assert agent.wait() == 0
    assert "it did not stop within 5 s when its run was handed back" in agent.output
    assert not is_alive(horse)
    run.refresh_from_db()
    assert run.state_message == HANDED_BACK


def test_a_run_that_must_not_begin_again_is_waited_for(stage: Stage) -> None:
    agent = stage.agent("--drain-seconds", "0")
    run, _ = begun(stage, "in_halves", hand_back=False)
    agent.signal(signal.SIGTERM)
    agent.wait_for("may not begin again elsewhere")
    stage.go()
    assert agent.wait() == 0
    assert stage.ended(run).state_type == "COMPLETED"


def test_a_run_that_must_not_begin_again_crashes_at_the_second_signal(stage: Stage) -> None:
    agent = stage.agent()
    run, _ = begun(stage, "deaf", hand_back=False)
    agent.signal(signal.SIGTERM)
    agent.wait_for("Stopping when")
    insist(agent)
    stage.ended(run)
    assert (run.state_type, run.state_message) == ("CRASHED", "Process killed: the agent was stopped.")


def test_a_paused_run_still_waits_for_its_answer(stage: Stage) -> None:
    agent = stage.agent("--drain-seconds", "0")
    run = create_flow_run(deployed("asks"), parameters={"folder": str(stage.folder)})
    stage.started(run)
    wait_until(lambda: FlowRun.objects.filter(id=run.id, state_type="PAUSED").exists(), what="it pauses")

    agent.signal(signal.SIGTERM)
    assert agent.wait() == 0
    run.refresh_from_db()
    assert (run.state_name, run.state_message) == ("Suspended", HANDED_BACK)
    assert run.pause_expires

    stage.agent()
    resume(DjangoSession(), run.id, None, {"type": "user", "display_value": "somebody"})
    assert stage.ended(run).state_type == "COMPLETED"
    assert events(stage) == ["answered"]
    assert run.run_count == 1


def test_what_was_claimed_when_the_signal_came_goes_back_at_once(stage: Stage) -> None:
    run = create_flow_run(deployed("in_halves"), parameters={"folder": str(stage.folder)})
    queue = resolve("default")
    identity = Identity(name="mole", queue_ids=(queue.id,))
    lists = [doorbell.rq_queue(queue.id).name]
    worker = AgentWorker(lists, identity, conninfo_of_django(), 30, Recycling())

    worker.request_stop(signal.SIGTERM, None)

    assert worker.take_one()
    run.refresh_from_db()
    assert (run.state_type, run.state_message, run.attempt) == ("SCHEDULED", HANDED_BACK, 1)


def test_a_draining_agent_says_so_and_gets_no_more_rings(stage: Stage) -> None:
    agent = stage.agent()
    run, _ = begun(stage, "in_halves")
    agent.signal(signal.SIGTERM)
    wait_until(lambda: Agent.objects.filter(draining__isnull=False).exists(), what="it drains")
    assert not online_agents(resolve("default").id)
    stage.go()
    stage.ended(run)
    assert agent.wait() == 0
