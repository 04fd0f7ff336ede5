"""More than there is room for, and flows that kill their process: they harm nobody else."""

import os
import signal

import pytest

from runs.models import FlowRun, Log
from tests.faults.conftest import Stage
from tests.faults.test_database import outage
from tests.processes import wait_until

pytestmark = pytest.mark.processes


def grown(stage: Stage) -> int:
    """By how many MiB the flooding process grew."""
    return int((stage.folder / "grown").read_text())


def test_a_flood_of_lines_is_held_back_while_the_database_is_away(stage: Stage) -> None:
    """`assert_invariants` counts the lines."""
    stage.agent()
    run = stage.create("floods", lines=60_000, width=20)
    stage.started(run)
    wait_until(lambda: Log.objects.filter(flow_run=run).exists(), what="the flood has begun")
    with outage():
        pass
    assert stage.ended(run).state_type == "COMPLETED"
    assert grown(stage) < 60


def test_a_flood_of_long_lines_takes_a_bounded_amount_of_memory(stage: Stage) -> None:
    stage.agent()
    run = stage.create("floods", lines=250, width=500_000)
    assert stage.ended(run).state_type == "COMPLETED"
    assert grown(stage) < 150


def test_a_run_that_wants_too_much_memory_fails_alone(stage: Stage) -> None:
    agent = stage.agent()
    run = stage.ended(stage.create("hungry"))
    assert (run.state_type, "MemoryError" in run.state_message) == ("FAILED", True)
    assert stage.ended(stage.create("quick")).state_type == "COMPLETED"
    assert agent.is_alive


def test_a_run_that_segfaults_crashes_and_says_so(stage: Stage) -> None:
    stage.agent()
    run = stage.ended(stage.create("segfaults"))
    assert run.state_type == "CRASHED"
    assert run.state_message.startswith("Process died: killed by SIGSEGV (peak ")


def test_a_poisonous_flow_is_given_up_after_its_crash_retries(stage: Stage) -> None:
    agent = stage.agent()
    run = stage.ended(stage.create("poison"))
    assert (run.state_type, run.crash_count, run.attempt) == ("CRASHED", 4, 4)
    assert (stage.folder / "executions").read_text() == "once\n" * 4
    assert stage.ended(stage.create("quick")).state_type == "COMPLETED"
    assert agent.is_alive


def test_a_run_that_was_killed_before_its_flow_began_is_started_again(stage: Stage) -> None:
    """Its flow asked for no crash retries, and could not have: nobody had read it."""
    (stage.folder / "slow.py").write_text(SLOW_TO_LOAD)
    deployment = stage.deployment("quick")
    deployment.path, deployment.entrypoint = str(stage.folder), "slow.py:quick"
    deployment.save()
    stage.agent()
    run = stage.create("quick")
    os.kill(stage.started(run), signal.SIGKILL)
    (stage.folder / "go").touch()
    stage.ended(run)
    assert (run.state_type, run.attempt, run.run_count) == ("COMPLETED", 2, 1)


def test_code_that_kills_its_process_when_it_is_loaded_is_given_up(stage: Stage) -> None:
    (stage.folder / "deadly.py").write_text("import os\nos._exit(3)\n")
    deployment = stage.deployment("quick")
    deployment.path, deployment.entrypoint = str(stage.folder), "deadly.py:quick"
    deployment.save()
    stage.agent()
    run = stage.ended(stage.create("quick"))
    assert (run.state_type, run.crash_count) == ("CRASHED", 4)
    assert "exit code 3" in FlowRun.objects.get(id=run.id).state_message


SLOW_TO_LOAD = """
import os, time
from pathlib import Path
from flows import flow

here = Path(__file__).parent
(here / "pid.new").write_text(str(os.getpid()))
(here / "pid.new").rename(here / "pid")
while not (here / "go").exists():
    time.sleep(0.02)

@flow
def quick(folder: str) -> None: ...
"""
