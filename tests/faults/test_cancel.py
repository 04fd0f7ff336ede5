"""Cancelling a run that is running."""

import time

import pytest

from runs.cancel import cancel as ask_to_stop
from runs.models import FlowRun
from runs.session import DjangoSession
from tests.faults.conftest import Stage, is_alive
from tests.processes import wait_until

pytestmark = pytest.mark.processes


def cancel(run: FlowRun, force: bool = False) -> None:
    ask_to_stop(DjangoSession(), run.id, "somebody", force)


def test_a_running_flow_is_asked_to_stop(stage: Stage) -> None:
    stage.agent()
    run = stage.create("hold")
    horse = stage.started(run)
    cancel(run)
    assert stage.ended(run, timeout=5).state_type == "CANCELLED"
    wait_until(lambda: not is_alive(horse) and not is_alive(stage.child()), what="no process is left")


def test_a_flow_that_does_not_listen_is_killed_with_all_its_processes(stage: Stage) -> None:
    stage.agent(PORTAL_CANCEL_GRACE_SECONDS="1")
    run = stage.create("stubborn")
    processes = [stage.started(run), stage.child()]
    cancel(run)
    stage.ended(run)
    assert run.state_type == "CANCELLED"
    assert run.state_message == "Killed: it did not stop when it was cancelled within 1 s."
    wait_until(lambda: not any(map(is_alive, processes)), what="horse and child are gone")


def test_the_agent_hears_of_it_at_once(stage: Stage) -> None:
    """Without the hint, it would look only at its next tick, half a second later on average."""
    agent = stage.agent()
    heard = []
    for _ in range(5):
        run = stage.create("hold")
        stage.started(run)
        asked = time.monotonic()
        cancel(run)
        stage.ended(run)
        heard.append(time.monotonic() - asked)
    assert sorted(heard)[2] < 0.3, (heard, agent.output)


def test_it_is_cancelled_without_redis_too(stage: Stage) -> None:
    stage.agent(REDIS_URL="redis://127.0.0.1:1/0")
    run = stage.create("hold")
    stage.started(run)
    cancel(run)
    assert stage.ended(run, timeout=5).state_type == "CANCELLED"


def test_force_gives_no_time_to_clean_up(stage: Stage) -> None:
    stage.agent()
    run = stage.create("stubborn")
    processes = [stage.started(run), stage.child()]
    cancel(run)
    cancel(run, force=True)
    run.refresh_from_db()
    assert (run.state_type, run.state_message) == ("CANCELLED", "Killed by somebody.")
    wait_until(lambda: not any(map(is_alive, processes)), timeout=2, what="horse and child are gone")
    assert stage.ended(stage.create("quick")).state_type == "COMPLETED"
