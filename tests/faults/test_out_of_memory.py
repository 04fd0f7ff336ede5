"""A container's memory is full: the kernel kills whoever has most of it."""

from pathlib import Path

import pytest

from tests.faults.cage import memory_cage
from tests.faults.conftest import Stage

pytestmark = pytest.mark.processes


def test_the_process_of_a_run_goes_before_its_agent(stage: Stage) -> None:
    agent = stage.agent()
    horse = stage.started(stage.create("hold"))
    assert score(horse) == score(stage.child()) > score(agent.pid)
    stage.go()


def score(pid: int) -> int:
    """How much rather than others the kernel kills this process."""
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


def test_the_memory_killer_takes_the_run_and_leaves_the_agent(stage: Stage) -> None:
    with memory_cage(mebibytes=400) as cage:
        with cage.entered():
            agent = stage.agent()

        run = stage.ended(stage.create("greedy"), timeout=60)

        assert run.state_type == "CRASHED"
        assert "killed by SIGKILL" in run.state_message and "ran out of memory" in run.state_message
        assert stage.ended(stage.create("quick")).state_type == "COMPLETED"
        assert agent.is_alive
        agent.stop()
