"""RQ's own tools see an agent, also after Redis has lost its data."""

import pytest
from rq import Worker

from agents import doorbell
from tests.faults.conftest import Stage
from tests.faults.test_drain import begun
from tests.processes import wait_until

pytestmark = pytest.mark.processes


def states() -> dict[str, str]:
    """What RQ knows: the names and states of workers."""
    return {worker.name: worker.get_state() for worker in Worker.all(connection=doorbell.connection())}


def seen(name: str, state: str) -> None:
    wait_until(lambda: states() == {name: state}, what=f"RQ sees {name} {state}")


def test_an_idle_agent_registers_again(stage: Stage) -> None:
    stage.agent("--name", "mole")
    seen("mole", "idle")
    doorbell.connection().flushall()
    assert states() == {}
    seen("mole", "idle")


def test_a_busy_agent_registers_again(stage: Stage) -> None:
    stage.agent("--name", "mole")
    begun(stage, "in_halves")
    doorbell.connection().flushall()
    seen("mole", "busy")
