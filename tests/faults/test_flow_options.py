"""What flows ask for by options, in an agent: hooks, names, timeouts; and threads that they leave behind."""

import pytest

from flows.sdk.states import Cancelling
from runs.models import FlowRun, Log
from runs.models.flow_run import TERMINAL
from runs.session import DjangoSession
from runs.transition import transition
from tests.faults.conftest import Stage
from tests.processes import wait_until

pytestmark = pytest.mark.processes


def logged(run: FlowRun, text: str) -> bool:
    return Log.objects.filter(flow_run=run, message__contains=text).exists()


def test_a_run_gets_the_name_that_its_flow_gives_it(stage: Stage) -> None:
    stage.agent()
    assert stage.ended(stage.create("named")).name == "called-so"


def test_hooks_may_log_after_the_end_and_change_nothing_by_raising(stage: Stage) -> None:
    stage.agent()
    run = stage.ended(stage.create("hooked"))
    assert logged(run, "hook saw Running")
    wait_until(lambda: logged(run, "hook saw Completed"), what="the log of the hook")
    assert logged(run, "Hook '_raise' raised an exception")
    assert run.state_type == "COMPLETED"


def test_a_cancelled_run_calls_its_hook_before_it_ends(stage: Stage) -> None:
    stage.agent()
    run = stage.create("hooked_to_its_end")
    stage.started(run)
    transition(DjangoSession(), run.id, Cancelling())
    assert stage.ended(run).state_type == "CANCELLED"
    assert logged(run, "hook saw Cancelling")
    assert not logged(run, "hook saw Completed")


def test_a_timeout_ends_a_wait_in_c_code(stage: Stage) -> None:
    stage.agent()
    run = stage.ended(stage.create("too_slow"))
    assert (run.state_type, run.state_name) == ("FAILED", "TimedOut")
    assert run.state_message == "Flow run exceeded timeout of 0.3 second(s)"


def test_code_that_cannot_be_interrupted_is_killed_after_its_timeout(stage: Stage) -> None:
    stage.agent(PORTAL_CANCEL_GRACE_SECONDS="1")
    run = stage.ended(stage.create("deaf"))
    assert (run.state_type, run.state_name) == ("FAILED", "TimedOut")
    assert run.state_message == "Process killed: it did not stop at its timeout within 1 s."


def test_a_thread_that_outlives_its_flow_ends_with_it(stage: Stage) -> None:
    stage.agent()
    run = stage.ended(stage.create("leaves_a_thread"))
    assert run.state_type == "COMPLETED"
    left = run.task_runs.get()
    assert (left.state_type, left.state_message) == ("CRASHED", "Its flow run ended before it did.")
    assert stage.ended(stage.create("quick")).state_type == "COMPLETED"


def test_a_timeout_that_hits_the_recorder_reaches_the_flow(stage: Stage) -> None:
    stage.agent()
    for run in [stage.create("busy") for _ in range(8)]:
        stage.ended(run)
        assert (run.state_type, run.state_name) == ("FAILED", "TimedOut"), run.state_message
        assert not run.descendants.exclude(state_type__in=TERMINAL).exists()
        assert not run.task_runs.exclude(state_type__in=TERMINAL).exists()
