"""Results across real processes: a key is computed once, and a killed run goes on where it was."""

import os
import signal

import pytest

from runs.models import FlowRun, Result, ResultLock, TaskRun
from tests.faults.conftest import Stage
from tests.processes import wait_until

pytestmark = pytest.mark.processes


def task_states(run: FlowRun) -> list[tuple[int, str]]:
    return sorted(TaskRun.objects.filter(flow_run=run).values_list("attempt", "state_name"))


def test_two_processes_compute_a_key_once(stage: Stage) -> None:
    first, second = stage.create("shares"), stage.create("shares")
    stage.agent()
    stage.agent()
    stage.started(first)
    wait_until(lambda: ResultLock.objects.exists(), what="one has the lock")
    wait_until(lambda: TaskRun.objects.count() == 2, what="both want the result")
    stage.go()
    assert {stage.ended(run).state_type for run in (first, second)} == {"COMPLETED"}
    assert (stage.folder / "executions").read_text() == "once\n"
    assert sorted(task_states(first) + task_states(second)) == [(1, "Cached"), (1, "Completed")]
    assert not ResultLock.objects.exists()


def test_a_killed_holder_of_a_lock_keeps_nobody_waiting(stage: Stage) -> None:
    runs = stage.create("shares"), stage.create("shares")
    stage.agent()
    stage.agent()
    wait_until(lambda: ResultLock.objects.exists(), what="one has the lock")
    wait_until(lambda: FlowRun.objects.filter(state_type="RUNNING").count() == 2, what="both run")
    killed = ResultLock.objects.get().flow_run
    [waiting] = set(runs) - {killed}
    os.kill(int(killed.infrastructure_pid), signal.SIGKILL)
    assert stage.ended(killed).state_type == "CRASHED"
    stage.go()
    assert stage.ended(waiting).state_type == "COMPLETED"
    assert (stage.folder / "executions").read_text() == "once\nonce\n"


def test_a_killed_run_goes_on_where_it_was(stage: Stage) -> None:
    run = stage.create("resumes")
    stage.agent()
    pid = stage.started(run)
    wait_until(lambda: Result.objects.count() == 2, what="two results are durable")
    os.kill(pid, signal.SIGKILL)
    stage.go()
    assert stage.ended(run).state_type == "COMPLETED"
    assert sorted((stage.folder / "steps").read_text().split()) == ["1", "2", "3"]
    assert task_states(run)[-3:] == [(2, "Cached"), (2, "Cached"), (2, "Completed")]
