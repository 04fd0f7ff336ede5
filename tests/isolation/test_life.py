"""What flows may do in an isolated process, and how it ends: as in a forked one."""

import os
import signal

import pytest

from flows.models import Variable
from flows.scoping import Actor
from runs.cancel import cancel
from runs.models import Artifact, FlowRun, RunInput, TaskRun
from runs.resume import resume
from runs.retrying import retry, run_again
from runs.session import DjangoSession
from tests.factories import make_run
from tests.faults.conftest import is_alive
from tests.isolation.conftest import IsolatedStage
from tests.processes import wait_until

pytestmark = pytest.mark.processes

ADA = Actor(user_id=1, name="ada")


def begun(stage: IsolatedStage, flow: str) -> tuple[FlowRun, int]:
    """A run of `flow`, and the pid of its process."""
    run = stage.create(flow)
    pid = stage.started(run)
    wait_until(lambda: FlowRun.objects.filter(id=run.id, state_type="RUNNING").exists(), what="it runs")
    return run, pid


def test_a_flow_does_there_what_it_does_elsewhere(stage: IsolatedStage) -> None:
    stage.agent()

    run = stage.ended(stage.create("works"))

    assert run.state_type == "COMPLETED", run.state_message
    assert "working" in stage.log()
    assert Variable.objects.get(name="city").value == "Oslo"
    assert Artifact.objects.get(key="note").data == "# done"
    assert FlowRun.objects.get(root_run=run).state_type == "COMPLETED"
    assert set(TaskRun.objects.values_list("state_type", flat=True)) == {"COMPLETED"}
    assert run.claimed_time < run.forked_time < run.loaded_time <= run.start_time
    assert run.cpu_seconds and run.peak_memory_bytes


def test_a_retried_run_takes_what_it_has_computed(stage: IsolatedStage) -> None:
    stage.agent()
    run = stage.ended(stage.create("stumbles"))
    assert run.state_message.endswith("RuntimeError: not yet")
    stage.go()

    retry(DjangoSession(), run.id, ADA)

    assert stage.ended(run).state_type == "COMPLETED"
    assert run.attempt == 2
    assert (stage.folder / "executions").read_text() == "once\n"


def test_a_retried_run_computes_anew_from_the_chosen_task_on(stage: IsolatedStage) -> None:
    stage.agent()
    run = stage.ended(stage.create("stumbles"))
    stage.go()

    retry(DjangoSession(), run.id, ADA, from_task=TaskRun.objects.get(flow_run=run).id)

    assert stage.ended(run).state_type == "COMPLETED"
    assert (stage.folder / "executions").read_text() == "once\n" * 2


def test_a_run_made_after_another_takes_what_that_one_computed(stage: IsolatedStage) -> None:
    stage.agent()
    first = stage.ended(stage.create("stumbles"))
    stage.go()

    again = run_again(first, first.parameters, ADA, reuse_results=True)

    assert stage.ended(again).state_type == "COMPLETED"
    assert (stage.folder / "executions").read_text() == "once\n"


def test_a_person_answers(stage: IsolatedStage) -> None:
    stage.agent()
    run = stage.create("asks")
    wait_until(lambda: FlowRun.objects.filter(id=run.id, state_type="PAUSED").exists(), what="it asks")

    resume(DjangoSession(), run.id, {"approved": True}, {"display_value": "ada"})

    assert stage.ended(run).state_type == "COMPLETED"


def test_its_token_does_not_reach_another_run(stage: IsolatedStage) -> None:
    other = make_run()
    (stage.folder / "other").write_text(str(other.id))
    stage.agent()

    run = stage.ended(stage.create("meddles"))

    assert run.state_type == "FAILED"
    assert f"there is no flow run {other.id}" in run.state_message
    assert not RunInput.objects.exists()


def test_too_much_memory_fails_the_run(stage: IsolatedStage) -> None:
    stage.pool(memory_mb=400)
    stage.agent()

    run = stage.ended(stage.create("eats"))

    assert run.state_type == "FAILED"
    assert "MemoryError" in run.state_message
    assert run.state_message.endswith("Work pool 'isolated' allows 400 MiB of memory.")


def test_threads_of_tasks_leave_room_where_memory_is_limited(stage: IsolatedStage) -> None:
    stage.pool(memory_mb=256)
    stage.agent()

    run = stage.ended(stage.create("spreads"), timeout=30)

    assert run.state_type == "COMPLETED", run.state_message


def test_a_crash_says_what_was_said_last_and_which_limit_may_be_behind_it(stage: IsolatedStage) -> None:
    stage.pool(memory_mb=400)
    agent = stage.agent()

    run = stage.ended(stage.create("dies"))

    assert run.state_type == "CRASHED"
    assert run.state_message.startswith("Process died: killed by SIGSEGV (peak ")
    assert run.state_message.endswith("Work pool 'isolated' allows 400 MiB of memory.")
    assert "Its last lines on standard error were:\nlibfoo: no such table\n" in stage.log()
    assert " in dies\n" in stage.log()  # Python's own traceback
    assert "libfoo: no such table" in agent.output


def test_a_task_handed_in_there_is_run_by_an_agent(stage: IsolatedStage) -> None:
    stage.agent()
    stage.agent()  # the other one is there for the task

    run = stage.ended(stage.create("hands_over"), timeout=60)

    assert run.state_type == "COMPLETED", run.state_message
    assert (stage.folder / "sum").read_text() == "42"


def test_too_much_cpu_time_crashes_it(stage: IsolatedStage) -> None:
    stage.pool(cpu_seconds=2)
    stage.agent()

    run = stage.ended(stage.create("spins"))

    assert run.state_type == "CRASHED"
    assert "killed by SIGXCPU" in run.state_message
    assert run.state_message.endswith("Work pool 'isolated' allows 2 s of CPU time.")


def test_a_killed_process_crashes_its_run_at_once(stage: IsolatedStage) -> None:
    stage.agent()
    run, process = begun(stage, "hold")
    child = stage.child()

    os.kill(process, signal.SIGKILL)

    assert stage.ended(run).state_type == "CRASHED"
    assert run.state_message.startswith("Process died: killed by SIGKILL (peak ")
    wait_until(lambda: not is_alive(child), what="what it had started is gone")


def test_it_is_cancelled(stage: IsolatedStage) -> None:
    stage.agent()
    run, process = begun(stage, "hold")

    cancel(DjangoSession(), run.id, "somebody", False)

    assert stage.ended(run).state_type == "CANCELLED"
    wait_until(lambda: not is_alive(process) and not is_alive(stage.child()), what="no process is left")


def test_one_that_does_not_listen_is_killed_with_all_that_it_started(stage: IsolatedStage) -> None:
    stage.agent(PORTAL_CANCEL_GRACE_SECONDS="1")
    run, process = begun(stage, "stubborn")

    cancel(DjangoSession(), run.id, "somebody", False)

    assert stage.ended(run).state_type == "CANCELLED"
    wait_until(lambda: not is_alive(process) and not is_alive(stage.child()), what="no process is left")


def test_nothing_of_it_survives_its_agent(stage: IsolatedStage) -> None:
    agent = stage.agent()
    _, process = begun(stage, "stubborn")
    processes = [process, stage.child()]

    agent.kill()

    wait_until(lambda: not any(map(is_alive, processes)), what="no process is left")


def test_an_agent_that_stops_hands_it_back(stage: IsolatedStage) -> None:
    agent = stage.agent("--drain-seconds", "0.2")
    run, process = begun(stage, "hold")

    agent.signal(signal.SIGTERM)

    assert agent.wait() == 0
    run.refresh_from_db()
    assert (run.state_type, run.crash_count) == ("SCHEDULED", 0)
    assert not is_alive(process)
    stage.go()
    stage.agent()
    assert stage.ended(run).state_type == "COMPLETED"
