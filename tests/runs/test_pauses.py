"""Pausing, suspending and resuming on real rows."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db.models import F
from django.utils import timezone

from agents.claim import Claimed, Lease, claim, renew
from agents.services.pauses import expire_pauses
from agents.waiting import waiting_on
from flows.sdk.backend import SentInput
from flows.sdk.recorder import Status, Verdict
from flows.sdk.states import (
    AwaitingRetry,
    Cancelling,
    Completed,
    Failed,
    Paused,
    Running,
    Scheduled,
    Suspended,
)
from runs.inputs import put_input, read_input
from runs.models import FlowRun, FlowRunState, RunInput, TaskRun
from runs.resume import resume
from runs.session import DjangoSession
from runs.transition import transition
from tests.factories import lease, make_run

pytestmark = pytest.mark.django_db

SESSION = DjangoSession()
ALICE = {"type": "USER", "id": "1", "display_value": "alice"}
SCHEMA = {
    "type": "object",
    "properties": {"approved": {"type": "boolean"}, "comment": {"type": "string"}},
    "required": ["approved"],
}
KEYS = {"schema": "paused-1-schema", "response": "paused-1-response"}


def details(key: str = "1", seconds: float = 60, **more: Any) -> dict[str, Any]:
    until = datetime.now(UTC) + timedelta(seconds=seconds)
    return {"pause_key": key, "pause_timeout": until.isoformat(), **more}


def running() -> FlowRun:
    run = lease(make_run())
    transition(SESSION, run.id, Running(), attempt=1)
    return run


def paused(**more: Any) -> FlowRun:
    run = running()
    assert transition(SESSION, run.id, Paused(details=details(**more)), attempt=1).status is Status.ACCEPT
    run.refresh_from_db()
    return run


def suspended(**more: Any) -> FlowRun:
    run = running()
    assert transition(SESSION, run.id, Suspended(details=details(**more)), attempt=1).status is Status.ACCEPT
    run.refresh_from_db()
    return run


def asking(run: FlowRun) -> FlowRun:
    """Let the run ask for an approval."""
    with SESSION.transaction() as tx:
        put_input(tx, run.id, SentInput(KEYS["schema"], SCHEMA))
    return run


def answer_of(run: FlowRun) -> SentInput | None:
    with SESSION.transaction() as tx:
        return read_input(tx, run.id, KEYS["response"])


def propose(run: FlowRun, state: Any, attempt: int | None = None) -> Verdict:
    verdict = transition(SESSION, run.id, state, attempt=attempt)
    run.refresh_from_db()
    return verdict


def claim_due(run: FlowRun) -> Claimed | None:
    """Claim the run; in the one transaction of a test no time passes, so it must have been due before."""
    assert run.agent_id and run.work_queue_id
    FlowRun.objects.filter(id=run.id).update(expected_start_time=run.created)
    return claim(SESSION, run.agent_id, [run.work_queue_id])


def test_a_paused_process_keeps_its_run() -> None:
    run = paused()

    assert renew(SESSION, run.id, 1) is Lease.HELD
    assert resume(SESSION, run.id, None, ALICE).status is Status.ACCEPT
    run.refresh_from_db()
    assert (run.state_name, run.run_count, run.pause_expires) == ("Running", 1, None)
    assert propose(run, Completed(), attempt=1).status is Status.ACCEPT


def test_a_pause_moves_the_deadline_of_the_try() -> None:
    """The agent's net for code that no signal ends: it holds after the pause, and not within."""
    run = lease(make_run())
    transition(SESSION, run.id, Running(details={"timeout_seconds": 5}), attempt=1)
    before = FlowRun.objects.get().deadline
    assert before is not None
    transition(SESSION, run.id, Paused(details=details()), attempt=1)
    FlowRun.objects.update(state_timestamp=F("state_timestamp") - timedelta(seconds=60))
    FlowRun.objects.update(deadline=F("deadline") - timedelta(seconds=60))
    assert renew(SESSION, run.id, 1) is Lease.HELD

    resume(SESSION, run.id, None, ALICE)

    after = FlowRun.objects.get().deadline
    assert after is not None and timedelta(0) <= after - before < timedelta(seconds=60)
    FlowRun.objects.update(deadline=timezone.now() - timedelta(seconds=1))
    assert renew(SESSION, run.id, 1) is Lease.OVERDUE
    transition(SESSION, run.id, Completed(), attempt=1)
    assert FlowRun.objects.get().deadline is None


def test_a_suspension_ends_the_deadline_of_the_try() -> None:
    run = lease(make_run())
    transition(SESSION, run.id, Running(details={"timeout_seconds": 5}), attempt=1)
    transition(SESSION, run.id, Suspended(details=details()), attempt=1)
    assert FlowRun.objects.get().deadline is None


def test_who_resumed_is_recorded() -> None:
    run = paused()
    resume(SESSION, run.id, None, ALICE)

    state = FlowRunState.objects.get(id=FlowRun.objects.get(id=run.id).state_id)
    assert state.state_details["resumed_by"] == ALICE
    assert state.message == "Resumed by alice."


def test_a_suspended_run_is_scheduled_when_resumed_and_counts_no_new_try() -> None:
    run = suspended()
    assert (run.state_name, run.lease_expires) == ("Suspended", None)
    agent_id, queue_id = run.agent_id, run.work_queue_id
    assert agent_id and queue_id
    assert claim(SESSION, agent_id, [queue_id]) is None

    resume(SESSION, run.id, None, ALICE)
    claimed = claim_due(run)

    assert claimed is not None
    assert (claimed.run.attempt, claimed.run.run_count) == (2, 0)
    propose(run, Running(), attempt=2)
    assert (run.state_name, run.run_count, run.resuming) == ("Running", 1, False)


def test_code_that_is_executed_again_passes_its_pause() -> None:
    run = suspended()
    resume(SESSION, run.id, None, ALICE)
    claim_due(run)
    propose(run, Running(), attempt=2)

    again = propose(run, Suspended(details=details("1")), attempt=2)
    other = propose(run, Suspended(details=details("2")), attempt=2)

    assert (again.status, again.state and again.state.name) == (Status.REJECT, "Running")
    assert other.status is Status.ACCEPT


def test_a_retry_pauses_anew() -> None:
    run = paused()
    resume(SESSION, run.id, None, ALICE)
    due = datetime.now(UTC) - timedelta(seconds=1)
    propose(run, AwaitingRetry(due, details={"retry_in_process": True}), attempt=1)
    propose(run, Running(), attempt=1)

    assert run.run_count == 2
    assert propose(run, Paused(details=details("1")), attempt=1).status is Status.ACCEPT


def test_pausing_again_forgets_the_old_answer() -> None:
    run = asking(paused(run_input_keyset=KEYS))
    resume(SESSION, run.id, {"approved": False}, ALICE)
    assert answer_of(run)
    propose(run, AwaitingRetry(datetime.now(UTC), details={"retry_in_process": True}), attempt=1)
    propose(run, Running(), attempt=1)
    propose(run, Paused(details=details("1", run_input_keyset=KEYS)), attempt=1)

    assert answer_of(run) is None


def test_an_answer_is_kept_with_who_gave_it() -> None:
    run = asking(paused(run_input_keyset=KEYS))

    assert resume(SESSION, run.id, {"approved": True}, ALICE).status is Status.ACCEPT
    assert answer_of(run) == SentInput(KEYS["response"], {"approved": True}, "alice")


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({}, "approved: is required"),
        ({"approved": "x"}, "approved"),
        ({"approved": True, "y": 1}, "y: there"),
    ],
)
def test_an_answer_that_does_not_fit_leaves_the_run_paused(given: dict[str, Any], wrong: str) -> None:
    run = asking(paused(run_input_keyset=KEYS))

    verdict = resume(SESSION, run.id, given, ALICE)

    assert verdict.status is Status.REJECT
    assert wrong in verdict.reason
    assert verdict.state and verdict.state.is_paused()
    assert answer_of(run) is None


def test_what_is_not_paused_is_not_resumed() -> None:
    verdict = resume(SESSION, running().id, None, ALICE)

    assert (verdict.status, verdict.state) == (Status.ABORT, None)
    assert verdict.reason == "the run is Running, not paused"
    assert resume(SESSION, UUID(int=0), None, ALICE).status is Status.ABORT


def test_who_resumes_too_late_finds_the_run_failed() -> None:
    run = asking(suspended(seconds=-1, run_input_keyset=KEYS))

    verdict = resume(SESSION, run.id, {"approved": True}, ALICE)

    assert verdict.status is Status.REJECT
    run.refresh_from_db()
    assert (run.state_type, run.lease_expires) == ("FAILED", None)
    assert answer_of(run) is None


def test_expiry_fails_runs_that_nobody_resumed() -> None:
    late, early, waiting = suspended(seconds=-1), suspended(seconds=60), paused(seconds=-1)

    expire_pauses(timezone.now())

    states = {run.id: run.state_type for run in FlowRun.objects.all()}
    assert states == {late.id: "FAILED", early.id: "PAUSED", waiting.id: "PAUSED"}
    expire_pauses(timezone.now() + timedelta(seconds=11))
    waiting.refresh_from_db()
    assert waiting.state_type == "FAILED"


def test_a_pause_without_a_timeout_does_not_expire() -> None:
    run = running()
    propose(run, Suspended(details={"pause_key": "1", "pause_timeout": None}), attempt=1)

    expire_pauses(timezone.now() + timedelta(days=1000))

    run.refresh_from_db()
    assert run.state_name == "Suspended"


def test_a_process_may_end_its_own_pause() -> None:
    assert propose(paused(seconds=-1), Running(), attempt=1).status is Status.ACCEPT
    assert propose(paused(), Failed(), attempt=1).status is Status.ACCEPT


def test_who_resumes_just_in_time_counts() -> None:
    run = paused()
    resume(SESSION, run.id, None, ALICE)

    verdict = propose(run, Running(details={"pause_over": True}), attempt=1)

    assert (verdict.status, verdict.reason) == (Status.REJECT, "the run was resumed")
    assert run.run_count == 1


def test_only_its_process_pauses_a_run_but_anybody_may_suspend_it() -> None:
    run = running()
    assert propose(run, Paused(details=details())).status is Status.REJECT
    assert propose(run, Suspended(details=details())).status is Status.ACCEPT
    assert renew(SESSION, run.id, 1) is Lease.LOST


def test_suspending_closes_what_the_ended_process_leaves_open() -> None:
    run = running()
    task_run = TaskRun.objects.create(
        flow_run=run, task_key="t", dynamic_key="0", name="t-0", created=run.created, state_type="RUNNING",
        state_name="Running", state_timestamp=run.created,
    )  # fmt: skip

    propose(run, Suspended(details=details()))

    task_run.refresh_from_db()
    assert (task_run.state_type, task_run.state_message[:26]) == ("CANCELLED", "Its flow run was suspended")


def test_what_does_not_run_does_not_pause() -> None:
    assert propose(make_run(), Paused(details=details())).status is Status.REJECT


def test_without_a_deployment_a_run_is_not_suspended() -> None:
    run = running()
    FlowRun.objects.filter(id=run.id).update(deployment=None)

    assert propose(run, Suspended(details=details()), attempt=1).status is Status.ABORT


def test_a_run_is_resumed_in_the_way_that_it_was_paused() -> None:
    assert propose(paused(), Scheduled(name="Resuming")).status is Status.REJECT
    assert propose(suspended(), Running()).status is Status.REJECT


def test_a_suspended_run_is_cancelled_at_once_and_a_paused_one_by_its_process() -> None:
    left, held = suspended(), paused()
    propose(left, Cancelling())
    propose(held, Cancelling())

    assert (left.state_type, held.state_type) == ("CANCELLED", "CANCELLING")
    assert renew(SESSION, held.id, 1) is Lease.CANCELLING


def test_a_paused_run_says_what_it_waits_for() -> None:
    run = asking(paused(run_input_keyset=KEYS))

    [reason] = waiting_on(run)

    assert reason["code"] == "paused"
    assert reason["text"].startswith("It is paused until somebody answers it, and fails at 20")
    assert "form" in reason["fix"]


def test_inputs_go_with_their_run() -> None:
    run = asking(paused())
    run.delete()
    assert not RunInput.objects.exists()
