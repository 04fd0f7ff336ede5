"""What a run leaves behind ends with it, also what left its group and session as daemons do."""

import pytest

from flows.sdk.states import Cancelling
from runs.models import FlowRun
from runs.session import DjangoSession
from runs.transition import transition
from tests.faults.conftest import Stage, is_alive
from tests.faults.test_drain import begun
from tests.processes import wait_until

pytestmark = pytest.mark.processes


def daemonic(stage: Stage, flow: str = "daemonic") -> tuple[FlowRun, list[int]]:
    """A run that started daemons, and the pids of all its processes."""
    run, horse = begun(stage, flow)
    return run, [horse, *map(int, (stage.folder / "daemons").read_text().split())]


def test_cancelling_ends_daemons_too(stage: Stage) -> None:
    stage.agent(PORTAL_CANCEL_GRACE_SECONDS="1")
    run, processes = daemonic(stage)
    assert all(map(is_alive, processes))

    transition(DjangoSession(), run.id, Cancelling())

    wait_until(lambda: not any(map(is_alive, processes)), what="no process is left")
    assert stage.ended(run).state_type == "CANCELLED"


def test_the_end_of_a_flow_ends_its_daemons(stage: Stage) -> None:
    agent = stage.agent()
    run, processes = daemonic(stage)
    stage.go()
    assert stage.ended(run).state_type == "COMPLETED"
    wait_until(lambda: not any(map(is_alive, processes)), what="no process is left")
    agent.wait_for("that run")


@pytest.mark.parametrize("flow", ["daemonic", "forks_a_daemon"])
def test_daemons_end_with_an_agent_that_is_killed(stage: Stage, flow: str) -> None:
    """Whether they are programs with an environment of their own, or were just forked."""
    agent = stage.agent()
    _, processes = daemonic(stage, flow)
    agent.kill()
    wait_until(lambda: not any(map(is_alive, processes)), what="no process is left")
