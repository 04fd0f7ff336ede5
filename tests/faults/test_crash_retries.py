"""A flow that asks for it is run again after its process was killed."""

import os
import signal

import pytest

from runs.models import FlowRun, FlowRunState
from tests.faults.conftest import Stage

pytestmark = pytest.mark.processes


def history(run: FlowRun) -> list[str]:
    return list(
        FlowRunState.objects.filter(flow_run=run).order_by("timestamp", "id").values_list("name", flat=True)
    )


def test_a_killed_run_is_run_again(stage: Stage) -> None:
    stage.agent()
    run = stage.create("unlucky")
    os.kill(stage.started(run), signal.SIGKILL)
    stage.started(run)
    stage.go()

    stage.ended(run)
    assert run.state_type == "COMPLETED"
    assert (run.attempt, run.run_count, run.crash_count) == (2, 2, 1)
    assert history(run) == [
        "Scheduled", "Pending", "Running", "Crashed", "AwaitingRetry", "Pending", "Retrying", "Completed",
    ]  # fmt: skip
    again = FlowRunState.objects.get(flow_run=run, name="AwaitingRetry")
    assert again.message.startswith("Crash retry 1/1. Process died: killed by SIGKILL")


def test_a_run_whose_crash_retries_are_used_up_has_crashed(stage: Stage) -> None:
    agent = stage.agent()
    run = stage.create("unlucky")
    for _ in range(2):
        os.kill(stage.started(run), signal.SIGKILL)
    assert stage.ended(run).state_type == "CRASHED"
    agent.wait_for("no on_crashed hook could be called")


def test_the_deployment_decides_if_it_says_something(stage: Stage) -> None:
    deployment = stage.deployment("unlucky")
    deployment.crash_retries = 0
    deployment.save()
    stage.agent()
    run = stage.create("unlucky")
    os.kill(stage.started(run), signal.SIGKILL)
    assert stage.ended(run).state_type == "CRASHED"


def test_a_task_that_kills_its_process_crashes_with_its_run(stage: Stage) -> None:
    stage.agent()
    run = stage.ended(stage.create("suicidal"))
    assert run.state_type == "CRASHED"
    assert run.state_message.startswith("Process died: killed by SIGKILL")
    assert run.task_runs.get().state_type == "CRASHED"
