"""A horse that dies, in every way: its run says so, and its agent goes on."""

import os
import signal

import pytest

from runs.models import Log
from tests.faults.conftest import Stage, is_alive
from tests.processes import wait_until

pytestmark = pytest.mark.processes


def test_a_killed_horse_crashes_its_run_at_once(stage: Stage) -> None:
    stage.agent()
    run = stage.create("hold")
    horse = stage.started(run)
    child = stage.child()

    os.kill(horse, signal.SIGKILL)

    stage.ended(run)
    assert run.state_type == "CRASHED"
    assert run.state_message.startswith("Process died: killed by SIGKILL (peak ")
    assert "out of memory" in run.state_message
    assert run.lease_expires is None
    wait_until(lambda: not is_alive(child), what="the horse's child is gone")
    last = Log.objects.get(flow_run=run)
    assert last.message == f"Crashed. {run.state_message} What it logged in its last moments may be missing."


def test_the_agent_goes_on_after_a_horse_died(stage: Stage) -> None:
    stage.agent()
    os.kill(stage.started(stage.create("hold")), signal.SIGKILL)
    assert stage.ended(stage.create("quick")).state_type == "COMPLETED"


def test_a_process_that_exits_without_a_word_has_crashed(stage: Stage) -> None:
    stage.agent()
    run = stage.ended(stage.create("vanish"))
    assert run.state_type == "CRASHED"
    assert run.state_message.startswith("Process died: exit code 0 (peak ")


def test_what_a_finished_flow_left_running_is_killed(stage: Stage) -> None:
    stage.agent()
    run = stage.create("hold")
    stage.started(run)
    stage.go()
    assert stage.ended(run).state_type == "COMPLETED"
    wait_until(lambda: not is_alive(stage.child()), what="the flow's child is gone")


def test_a_flow_that_cannot_be_loaded_fails_and_says_why(stage: Stage) -> None:
    stage.agent()
    deployment = stage.deployment("quick")
    deployment.entrypoint = "flow_file.py:no_such_flow"
    deployment.save()
    run = stage.ended(stage.create("quick"))
    assert run.state_type == "FAILED"
    assert run.state_message.startswith("Could not load the flow: ")
    assert "no_such_flow" in run.state_message


def test_each_step_of_a_start_is_timed(stage: Stage) -> None:
    stage.agent()
    run = stage.create("quick")
    pid = stage.started(run)
    stage.ended(run)
    assert run.infrastructure_pid == str(pid)
    assert run.claimed_time and run.forked_time and run.loaded_time and run.start_time
    assert run.claimed_time < run.forked_time < run.loaded_time <= run.start_time
