"""The invariants see what they are there for: each of these rows is what a fault could leave behind."""

from datetime import timedelta

import pytest
from django.utils.timezone import now

from flows.sdk.ids import uuid7
from runs.models import FlowRun, FlowRunState, Log, TaskRun
from tests.factories import lease, make_run
from tests.faults.invariants import assert_invariants

pytestmark = pytest.mark.django_db


def write_history(run: FlowRun, *states: tuple[str, int]) -> None:
    """Append (type, attempt) to the history of a run, which is then in the last of them."""
    at = now()
    for number, (type, attempt) in enumerate(states):
        state = FlowRunState.objects.create(
            flow_run=run,
            type=type,
            name=type.title(),
            attempt=attempt,
            timestamp=at + timedelta(seconds=number),
        )
        FlowRun.objects.filter(id=run.id).update(state_id=state.id, state_type=type, attempt=attempt)


def broken(text: str) -> "pytest.RaisesExc[AssertionError]":
    return pytest.raises(AssertionError, match=text)


def test_a_run_that_waits_is_in_order() -> None:
    make_run()
    assert_invariants()


def test_a_lost_run() -> None:
    write_history(make_run(), ("PENDING", 1), ("RUNNING", 1))
    with broken("no run is lost"):
        assert_invariants()


def test_an_end_that_changed() -> None:
    write_history(make_run(), ("PENDING", 1), ("RUNNING", 1), ("CRASHED", 1), ("COMPLETED", 1))
    with broken("path through the state machine"):
        assert_invariants()
    with broken("one accepted end per attempt"):
        assert_invariants()


def test_an_attempt_that_was_claimed_twice() -> None:
    run = lease(make_run())
    write_history(run, ("PENDING", 1), ("SCHEDULED", 1), ("PENDING", 1))
    with broken("every claim is a new attempt"):
        assert_invariants()


def test_a_task_run_that_reads_running_for_ever() -> None:
    run = make_run()
    write_history(run, ("PENDING", 1), ("RUNNING", 1), ("CRASHED", 1))
    TaskRun.objects.create(
        flow_run=run, task_key="t", dynamic_key="0", name="t-0", state_type="RUNNING", state_name="Running",
        state_timestamp=now(), created=now(),
    )  # fmt: skip
    with broken("what belongs to a run that is over"):
        assert_invariants()


def test_a_lost_line() -> None:
    run = make_run()
    write_history(run, ("PENDING", 1), ("RUNNING", 1), ("COMPLETED", 1))
    for number in (1, 3):
        Log.objects.create(
            id=uuid7(),
            flow_run=run,
            timestamp=now(),
            level=20,
            name="flow_runs",
            message=f"line {number} of 3",
        )
    with broken("logs are complete"):
        assert_invariants()
