"""Every rule on its own, and the policy on every pair of states. No database."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from flows.sdk.recorder import Status
from flows.sdk.states import TERMINAL, Cancelling, Late, Pending, Running, Scheduled, State, StateType
from runs.rules import ORCHESTRATION, Current, Proposal

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def run_in(state: StateType, name: str = "", **fields: Any) -> Current:
    leased = state in {StateType.PENDING, StateType.RUNNING, StateType.CANCELLING}
    defaults: dict[str, Any] = {
        "id": uuid4(),
        "workspace_id": uuid4(),
        "state_id": uuid4(),
        "state_type": state,
        "state_name": name or state.value.capitalize(),
        "state_message": "",
        "state_timestamp": NOW,
        "attempt": 1,
        "leased": leased,
        "is_subflow": False,
        "has_deployment": True,
        "work_queue_id": uuid4(),
        "expected_start_time": NOW,
        "crash_count": 0,
        "crash_retries": 0,
        "crash_retry_delay_seconds": 0.0,
        "now": NOW,
    }
    return Current(**{**defaults, **fields})


def status(run: Current, state: State, attempt: int | None = None) -> Status:
    return ORCHESTRATION.decide(run, Proposal(state, attempt)).status


ACCEPTED = {
    (StateType.SCHEDULED, StateType.CANCELLING): Status.REJECT,  # ends at once
    (StateType.PAUSED, StateType.CANCELLING): Status.REJECT,
    (StateType.PENDING, StateType.PENDING): Status.ABORT,
    (StateType.RUNNING, StateType.PENDING): Status.ABORT,
    (StateType.SCHEDULED, StateType.PAUSED): Status.REJECT,  # does not run
    (StateType.PENDING, StateType.PAUSED): Status.REJECT,
    (StateType.PAUSED, StateType.PAUSED): Status.REJECT,
    (StateType.RUNNING, StateType.PAUSED): Status.REJECT,  # proposed by somebody else than its process
    (StateType.PAUSED, StateType.SCHEDULED): Status.REJECT,  # a process waits, which goes on by RUNNING
    (StateType.PAUSED, StateType.PENDING): Status.REJECT,
}


def expected(before: StateType, after: StateType) -> Status:
    if before in TERMINAL:
        return Status.ACCEPT if after is StateType.SCHEDULED else Status.ABORT
    if before is StateType.CANCELLING:
        return Status.ACCEPT if after is StateType.CANCELLED else Status.REJECT
    return ACCEPTED.get((before, after), Status.ACCEPT)


@pytest.mark.parametrize("before", StateType)
@pytest.mark.parametrize("after", StateType)
def test_every_pair_of_states(before: StateType, after: StateType) -> None:
    assert status(run_in(before), State(after)) is expected(before, after)


def test_a_repeated_proposal_is_accepted_and_stores_nothing() -> None:
    state = Running()
    run = run_in(StateType.RUNNING, state_id=state.id)
    decision = ORCHESTRATION.decide(run, Proposal(state, attempt=1))
    assert (decision.status, decision.store) == (Status.ACCEPT, None)


@pytest.mark.parametrize("run", [{"attempt": 2}, {"leased": False}])
def test_an_attempt_that_lost_its_run_must_stop(run: dict[str, Any]) -> None:
    assert status(run_in(StateType.RUNNING, **run), Running(), attempt=1) is Status.ABORT


def test_a_run_without_deployment_is_not_reopened() -> None:
    run = run_in(StateType.FAILED, has_deployment=False)
    assert status(run, Scheduled(NOW)) is Status.ABORT


def test_cancelling_what_no_process_runs_ends_it_at_once() -> None:
    decision = ORCHESTRATION.decide(run_in(StateType.SCHEDULED), Proposal(Cancelling()))
    assert decision.store is not None
    assert decision.store.type is StateType.CANCELLED


def test_a_run_that_retries_in_its_process_is_cancelled_by_its_agent() -> None:
    run = run_in(StateType.SCHEDULED, name="AwaitingRetry", leased=True)
    assert status(run, Cancelling()) is Status.ACCEPT


def test_a_subflow_is_not_cancelled_alone() -> None:
    assert status(run_in(StateType.RUNNING, is_subflow=True), Cancelling()) is Status.ABORT


def test_running_before_its_time_waits_for_the_rest_of_it() -> None:
    run = run_in(StateType.PENDING, expected_start_time=NOW + timedelta(seconds=7))
    decision = ORCHESTRATION.decide(run, Proposal(Running()))
    assert (decision.status, decision.delay_seconds) == (Status.WAIT, 7.0)


def test_pending_again_under_another_name_is_accepted() -> None:
    assert status(run_in(StateType.PENDING), Pending(name="Submitting")) is Status.ACCEPT


def test_late_is_only_for_runs_that_wait_to_start() -> None:
    assert status(run_in(StateType.SCHEDULED), Late(NOW)) is Status.ACCEPT
    assert status(run_in(StateType.SCHEDULED, name="Late"), Late(NOW)) is Status.REJECT
    assert status(run_in(StateType.RUNNING), Late(NOW)) is Status.REJECT
