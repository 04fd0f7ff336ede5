"""Cancelling a run that is running."""

import pytest

from agents import doorbell
from agents.hints import CHANNEL
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
    assert stage.ended(run).state_type == "CANCELLED"
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
    """By a hint: this agent would look only after ten minutes."""
    agent = stage.stack.start("shell", "-c", LOOKS_SELDOM)
    run = stage.create("hold")
    stage.started(run)
    channel = CHANNEL.format(run_id=run.id)
    wait_until(lambda: doorbell.connection().pubsub_numsub(channel)[0][1], what="it listens")
    cancel(run)
    assert stage.ended(run).state_type == "CANCELLED"
    agent.stop()


LOOKS_SELDOM = """
from django.core.management import call_command
from agents import supervision
supervision.TICK_SECONDS = 600.0
call_command("rqworker", "default")
"""


def test_it_is_cancelled_without_redis_too(stage: Stage) -> None:
    stage.agent(REDIS_URL="redis://127.0.0.1:1/0")
    run = stage.create("hold")
    stage.started(run)
    cancel(run)
    assert stage.ended(run).state_type == "CANCELLED"


def test_force_gives_no_time_to_clean_up(stage: Stage) -> None:
    stage.agent()
    run = stage.create("stubborn")
    processes = [stage.started(run), stage.child()]
    cancel(run)
    cancel(run, force=True)
    run.refresh_from_db()
    assert (run.state_type, run.state_message) == ("CANCELLED", "Killed by somebody.")
    wait_until(lambda: not any(map(is_alive, processes)), what="horse and child are gone")
    assert stage.ended(stage.create("quick")).state_type == "COMPLETED"
