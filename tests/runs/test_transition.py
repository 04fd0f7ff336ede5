"""The transition function on real rows."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from flows.sdk.recorder import Status
from flows.sdk.states import (
    AwaitingRetry,
    Cancelling,
    Completed,
    Crashed,
    Failed,
    Running,
    Scheduled,
)
from runs import announce
from runs.models import FlowRun, FlowRunState, TaskRun, TaskRunState
from runs.session import DjangoSession
from runs.transition import transition
from tests.factories import lease, make_run

pytestmark = pytest.mark.django_db

SESSION = DjangoSession()


def test_a_run_that_completes_leaves_its_whole_history() -> None:
    run = lease(make_run())
    transition(SESSION, run.id, Running(), attempt=1)
    transition(SESSION, run.id, Completed(message="done"), attempt=1)

    run.refresh_from_db()
    assert (run.state_type, run.state_message, run.run_count) == ("COMPLETED", "done", 1)
    assert run.start_time and run.end_time and run.total_run_time >= 0
    assert run.lease_expires is None
    history = FlowRunState.objects.filter(flow_run=run).order_by("id").values_list("type", flat=True)
    assert list(history) == ["SCHEDULED", "RUNNING", "COMPLETED"]


def test_run_time_is_the_time_spent_running() -> None:
    run = lease(make_run())
    transition(SESSION, run.id, Running(), attempt=1)
    start = datetime.now(UTC) - timedelta(seconds=90)
    FlowRun.objects.filter(id=run.id).update(state_timestamp=start)
    transition(SESSION, run.id, Failed(timestamp=start + timedelta(seconds=80)), attempt=1)
    run.refresh_from_db()
    assert run.total_run_time == 80


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_is_wrong_does_not_count(hours: float) -> None:
    run = lease(make_run())
    wrong = datetime.now(UTC) + timedelta(hours=hours)
    transition(SESSION, run.id, Running(timestamp=wrong), attempt=1)
    transition(SESSION, run.id, Completed(timestamp=wrong), attempt=1)
    run.refresh_from_db()
    times = FlowRunState.objects.filter(flow_run=run).order_by("id").values_list("timestamp", flat=True)
    assert list(times) == sorted(times)
    assert abs(run.start_time - run.created) < timedelta(minutes=1)
    assert 0 <= run.total_run_time < 60


def test_each_change_has_its_own_version() -> None:
    run = lease(make_run())
    transition(SESSION, run.id, Running(), attempt=1)
    version = FlowRun.objects.get(id=run.id).version
    transition(SESSION, run.id, Completed(), attempt=1)
    assert FlowRun.objects.get(id=run.id).version == version + 1


def test_a_repeated_call_changes_nothing() -> None:
    run, state = lease(make_run()), Running()
    first = transition(SESSION, run.id, state, attempt=1)
    second = transition(SESSION, run.id, state, attempt=1)
    assert first.status is second.status is Status.ACCEPT
    assert FlowRunState.objects.filter(flow_run=run, type="RUNNING").count() == 1
    assert FlowRun.objects.get(id=run.id).run_count == 1


def test_a_stale_attempt_is_refused() -> None:
    run = lease(make_run(), attempt=2)
    verdict = transition(SESSION, run.id, Completed(), attempt=1)
    assert verdict.status is Status.ABORT
    assert "attempt 1 no longer owns the run" in verdict.reason
    assert FlowRun.objects.get(id=run.id).state_type == "PENDING"


def test_an_unknown_run_is_aborted() -> None:
    verdict = transition(SESSION, uuid4(), Running())
    assert (verdict.status, verdict.state) == (Status.ABORT, None)


def test_a_scheduled_run_is_cancelled_at_once() -> None:
    run = make_run(scheduled_time=datetime.now(UTC) + timedelta(days=1))
    verdict = transition(SESSION, run.id, Cancelling())
    assert verdict.state is not None and verdict.state.is_cancelled()
    assert FlowRun.objects.get(id=run.id).state_type == "CANCELLED"


def test_a_retry_in_the_process_keeps_the_lease_and_a_longer_one_gives_it_back() -> None:
    later = datetime.now(UTC) + timedelta(seconds=5)
    stays, goes = lease(make_run()), lease(make_run())
    transition(SESSION, stays.id, AwaitingRetry(later, details={"retry_in_process": True}), attempt=1)
    transition(SESSION, goes.id, AwaitingRetry(later), attempt=1)
    assert FlowRun.objects.get(id=stays.id).lease_expires is not None
    assert FlowRun.objects.get(id=goes.id).lease_expires is None
    assert FlowRun.objects.get(id=goes.id).expected_start_time == later


def test_reopening_clears_the_end_and_rings(
    monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: object
) -> None:
    rings: list[object] = []
    monkeypatch.setattr(announce, "_ring", rings.append)
    run = lease(make_run())
    transition(SESSION, run.id, Failed(), attempt=1)
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]
        transition(SESSION, run.id, Scheduled())
    run.refresh_from_db()
    assert (run.state_type, run.end_time) == ("SCHEDULED", None)
    assert rings == [run.work_queue_id]


def test_a_crash_closes_open_subflows_and_task_runs() -> None:
    run = lease(make_run())
    child = make_run()
    FlowRun.objects.filter(id=child.id).update(
        root_run=run, deployment=None, work_queue=None, state_type="RUNNING", state_name="Running"
    )
    now = datetime.now(UTC)
    for owner, key in ((run, "open"), (child, "open-in-child")):
        TaskRun.objects.create(
            flow_run=owner, task_key=key, dynamic_key="0", name=key, created=now,
            state_type="RUNNING", state_name="Running", state_timestamp=now,
        )  # fmt: skip
    done = TaskRun.objects.create(
        flow_run=run, task_key="done", dynamic_key="0", name="done", created=now,
        state_type="COMPLETED", state_name="Completed", state_timestamp=now,
    )  # fmt: skip

    transition(SESSION, run.id, Crashed(message="killed"), attempt=1)

    child.refresh_from_db()
    assert (child.state_type, child.state_message) == ("CRASHED", "Its flow run ended.")
    assert child.states.filter(type="CRASHED").count() == 1
    assert set(TaskRun.objects.filter(task_key__startswith="open").values_list("state_type", flat=True)) == {
        "CRASHED"
    }
    assert TaskRunState.objects.filter(type="CRASHED").count() == 2
    done.refresh_from_db()
    assert done.state_type == "COMPLETED"


def test_one_transition_is_two_statements(django_assert_num_queries: object) -> None:
    run = lease(make_run())
    with django_assert_num_queries(4):  # type: ignore[operator]  # with savepoint and its release
        transition(SESSION, run.id, Running(), attempt=1)
