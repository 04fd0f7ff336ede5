"""Handing a run back: it waits for the next agent, and no try is used up."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flows.sdk.recorder import Status
from flows.sdk.states import AwaitingRetry, Cancelling, Completed, Running, State
from runs.hand_back import hand_back, may_be_handed_back
from runs.models import FlowRun, FlowRunState
from runs.session import DjangoSession
from runs.transition import transition
from tests.factories import lease, make_deployment, make_run

pytestmark = pytest.mark.django_db

SESSION = DjangoSession()
LATER = datetime.now(UTC) + timedelta(seconds=30)


def run_in(*states: State, **deployment: Any) -> FlowRun:
    run = lease(make_run(make_deployment(**deployment)))
    for state in states:
        transition(SESSION, run.id, state, attempt=1)
    return run


def handed_back(run: FlowRun, attempt: int = 1) -> Status:
    status = hand_back(SESSION, run.id, attempt, "bye", {"cpu_seconds": 1.5, "peak_memory_bytes": 7}).status
    run.refresh_from_db()
    return status


def start_again(run: FlowRun) -> FlowRun:
    lease(run, attempt=2)
    transition(SESSION, run.id, Running(), attempt=2)
    run.refresh_from_db()
    return run


def test_a_running_run_begins_again_without_a_new_try() -> None:
    run = run_in(Running())
    assert handed_back(run) is Status.ACCEPT
    assert (run.state_type, run.state_name, run.state_message) == ("SCHEDULED", "Scheduled", "bye")
    assert (run.lease_expires, run.cpu_seconds, run.peak_memory_bytes) == (None, 1.5, 7)
    assert (start_again(run).run_count, run.crash_count) == (1, 0)


def test_one_that_never_began_waits_as_before() -> None:
    run = run_in()
    assert handed_back(run) is Status.ACCEPT
    assert (run.state_type, run.run_count) == ("SCHEDULED", 0)
    assert start_again(run).run_count == 1


def test_one_that_awaits_its_next_try_keeps_its_time() -> None:
    run = run_in(Running(), AwaitingRetry(LATER, details={"retry_in_process": True}))
    assert run.lease_expires
    assert handed_back(run) is Status.ACCEPT
    assert (run.state_name, run.expected_start_time, run.lease_expires) == ("AwaitingRetry", LATER, None)
    assert not run.resuming  # it is a new try


def test_what_is_being_cancelled_does_not_come_back() -> None:
    run = run_in(Running())
    transition(SESSION, run.id, Cancelling())
    assert handed_back(run) is Status.REJECT
    assert run.state_type == "CANCELLING"


@pytest.mark.parametrize("states", [[Running()], [Running(), Completed()]])
def test_only_its_own_attempt_hands_it_back(states: list[State]) -> None:
    run = run_in(*states)
    before = FlowRunState.objects.count()
    assert handed_back(run, attempt=0) is Status.ABORT
    assert FlowRunState.objects.count() == before


def test_the_deployment_says_whether_it_may() -> None:
    assert may_be_handed_back(SESSION, run_in().id)
    assert not may_be_handed_back(SESSION, run_in(name="once", hand_back=False).id)
    orphan = run_in(name="gone")
    FlowRun.objects.filter(id=orphan.id).update(deployment=None)
    assert not may_be_handed_back(SESSION, orphan.id)
