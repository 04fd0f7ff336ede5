"""The horse that an idle agent has ready for its next run."""

import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from runs.models import FlowRun
from tests.faults.conftest import Stage
from tests.processes import RunningStack, wait_until

pytestmark = pytest.mark.processes


def horses(agent: int) -> set[int]:
    """The pids of the agent's children that lead a group of their own, as its guards do not."""
    children = Path(f"/proc/{agent}/task/{agent}/children")
    found = set()
    for pid in map(int, children.read_text().split()):
        with suppress(ProcessLookupError):
            found |= {pid} & {os.getpgid(pid)}
    return found


def standing_by(agent: int) -> int:
    """Wait until one stands by; its pid."""
    [pid] = wait_until(lambda: horses(agent), what="a horse stands by")
    return pid


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def test_the_next_run_is_its_own(stack: RunningStack) -> None:
    stage = Stage(stack)
    agent = stage.agent()
    ready = standing_by(agent.pid)
    assert stage.started(stage.create("quick")) == ready
    wait_until(lambda: horses(agent.pid) - {ready}, what="another one stands by")


def test_its_rehearsal_is_seen_by_nobody(stack: RunningStack) -> None:
    stage = Stage(stack)
    agent = stage.agent()
    standing_by(agent.pid)
    stage.ended(stage.create("quick"))
    assert [run.flow.name for run in FlowRun.objects.select_related("flow")] == ["quick"]
    assert "rehears" not in agent.output
    assert "Completed" not in agent.output


def test_a_run_starts_although_it_was_killed(stack: RunningStack) -> None:
    stage = Stage(stack)
    agent = stage.agent()
    ready = standing_by(agent.pid)
    os.kill(ready, signal.SIGKILL)
    run = stage.ended(stage.create("quick"))
    assert (run.state_type, run.attempt) == ("COMPLETED", 1)
    assert is_gone(ready)


def test_an_order_too_large_for_its_pipe_goes_to_another(stack: RunningStack) -> None:
    """The agent would have to wait until it has read: for ever, if it stands still."""
    stage = Stage(stack)
    agent = stage.agent()
    ready = standing_by(agent.pid)
    os.kill(ready, signal.SIGSTOP)
    run = stage.ended(stage.create("measures", text="x" * 100_000))
    assert run.state_type == "COMPLETED"
    assert is_gone(ready)


def test_it_ends_with_its_agent(stack: RunningStack) -> None:
    stage = Stage(stack)
    agent = stage.agent()
    ready = standing_by(agent.pid)
    agent.stop()
    wait_until(lambda: is_gone(ready))


def test_it_dies_with_its_agent(stack: RunningStack) -> None:
    stage = Stage(stack)
    agent = stage.agent()
    ready = standing_by(agent.pid)
    agent.kill()
    wait_until(lambda: is_gone(ready))
