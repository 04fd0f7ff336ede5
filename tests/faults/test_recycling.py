"""An agent that starts again between two runs: the same process, and nothing is lost."""

import signal

import pytest

from agents.models import Agent
from tests.faults.conftest import Stage
from tests.processes import wait_until

pytestmark = pytest.mark.processes


def test_it_starts_again_after_so_many_runs(stage: Stage) -> None:
    agent = stage.agent("--max-runs", "2")
    runs = [stage.create("quick") for _ in range(5)]

    for run in runs:
        assert stage.ended(run).state_type == "COMPLETED"

    assert agent.output.count("starts again: it has executed 2 run(s)") == 2
    wait_until(lambda: agent.output.count(" serves ") == 3, what="it serves again")
    assert {each.pid for each in Agent.objects.all()} == {agent.pid}
    assert Agent.objects.filter(stopped__isnull=True).count() == 1


def test_it_starts_again_when_it_has_grown_and_still_stops_when_told(stage: Stage) -> None:
    agent = stage.agent("--max-memory", "1")
    assert stage.ended(stage.create("quick")).state_type == "COMPLETED"
    wait_until(lambda: agent.output.count(" serves ") == 2, what="it serves again")
    assert "MiB in memory, more than 1" in agent.output
    agent.signal(signal.SIGTERM)
    assert agent.wait() == 0


def test_a_signal_that_comes_while_it_starts_again_counts(stage: Stage) -> None:
    agent = stage.agent("--max-runs", "1")
    stage.create("quick")
    agent.wait_for("starts again")
    agent.signal(signal.SIGTERM)
    assert agent.wait() == 0
