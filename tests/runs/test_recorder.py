"""The database recorder against a real PostgreSQL, on its own connection."""

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count

import psycopg
import pytest
from django.db import connection

from flows.sdk import batching
from flows.sdk.ids import uuid7
from flows.sdk.recorder import Aborted, LogLine, NewArtifact, NewFlowRun, Status, TaskRunEvent
from flows.sdk.states import Completed, Pending, Running, State
from runs.cancel import cancel
from runs.logs import of_run
from runs.models import Artifact, FlowRun, TaskRun, TaskRunState
from runs.recorder import DatabaseRecorder
from runs.session import DjangoSession, PsycopgSession, Transaction, conninfo_of_django
from tests.factories import lease, make_run

pytestmark = pytest.mark.django_db(transaction=True)

sequence = count(1)


@pytest.fixture
def run() -> FlowRun:
    return lease(make_run())


@pytest.fixture
def recorder(run: FlowRun) -> Iterator[DatabaseRecorder]:
    made = DatabaseRecorder(PsycopgSession(conninfo_of_django()), run.id, attempt=1)
    yield made
    with contextlib.suppress(Aborted):
        made.close()


def event(run: FlowRun, state: State, task_run_id: object = None, **fields: object) -> TaskRunEvent:
    values: dict[str, object] = {"task_key": "extract", "dynamic_key": "0", "name": "extract-0", **fields}
    return TaskRunEvent(
        task_run_id=task_run_id or uuid7(), flow_run_id=run.id, state=state,
        sequence=next(sequence), **values,
    )  # fmt: skip  # type: ignore[arg-type]


def line(run: FlowRun, message: str) -> LogLine:
    return LogLine(run.id, None, datetime.now(UTC), 20, "flows.flow_runs", message)


def test_flush_makes_everything_durable(run: FlowRun, recorder: DatabaseRecorder) -> None:
    task_run_id = uuid7()
    recorder.task_event(event(run, Pending(), task_run_id))
    recorder.task_event(event(run, Running(), task_run_id, run_count=1))
    recorder.task_event(event(run, Completed(), task_run_id, run_count=1))
    recorder.log(line(run, "hello"))
    recorder.flush()

    task_run = TaskRun.objects.get(id=task_run_id)
    assert (task_run.state_type, task_run.run_count, task_run.attempt) == ("COMPLETED", 1, 1)
    history = TaskRunState.objects.filter(task_run_id=task_run_id).order_by("sequence")
    assert [state.type for state in history] == ["PENDING", "RUNNING", "COMPLETED"]
    assert [entry.message for entry in of_run(run)] == ["hello"]


def test_the_terminal_state_commits_with_the_last_batch(run: FlowRun, recorder: DatabaseRecorder) -> None:
    recorder.transition(run.id, Running())
    for _ in range(100):
        recorder.task_event(event(run, Completed()))
    recorder.transition(run.id, Completed())
    assert TaskRun.objects.filter(flow_run=run).count() == 100
    assert FlowRun.objects.get(id=run.id).state_type == "COMPLETED"


def test_the_newest_report_wins_in_whatever_order_it_arrives(
    run: FlowRun, recorder: DatabaseRecorder
) -> None:
    task_run_id = uuid7()
    early, late = event(run, Running(), task_run_id), event(run, Completed(), task_run_id)
    recorder.task_event(late)
    recorder.flush()
    recorder.task_event(early)
    recorder.flush()
    assert TaskRun.objects.get(id=task_run_id).state_type == "COMPLETED"
    assert TaskRunState.objects.filter(task_run_id=task_run_id).count() == 2


def test_a_repeated_event_changes_nothing(run: FlowRun, recorder: DatabaseRecorder) -> None:
    again = event(run, Completed())
    for _ in range(2):
        recorder.task_event(again)
        recorder.flush()
    assert TaskRunState.objects.filter(task_run_id=again.task_run_id).count() == 1


def test_an_attempt_that_lost_its_run_writes_nothing(run: FlowRun, recorder: DatabaseRecorder) -> None:
    FlowRun.objects.filter(id=run.id).update(attempt=2)
    recorder.task_event(event(run, Completed()))
    with pytest.raises(Aborted, match="attempt 1 no longer owns"):
        recorder.flush()
    with pytest.raises(Aborted):
        recorder.log(line(run, "too late"))
    assert not TaskRun.objects.exists()


def test_a_killed_backend_costs_nothing(run: FlowRun, recorder: DatabaseRecorder) -> None:
    recorder.transition(run.id, Running())
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    recorder.task_event(event(run, Completed()))
    assert recorder.transition(run.id, Completed()).status is Status.ACCEPT
    assert TaskRun.objects.filter(flow_run=run).count() == 1


def test_a_subflow_is_a_run_of_its_own_under_its_task_run(run: FlowRun, recorder: DatabaseRecorder) -> None:
    stand_in = event(run, Running(), name="child-0")
    recorder.task_event(stand_in)
    info = recorder.begin(
        NewFlowRun(uuid7(), "child", "brave-child", {"n": 1}, parent_run_id=run.id,
                   parent_task_run_id=stand_in.task_run_id)
    )  # fmt: skip
    recorder.transition(info.id, Running())
    recorder.transition(info.id, Completed())
    child = FlowRun.objects.get(id=info.id)
    assert (child.state_type, child.root_run_id, child.parent_task_run_id) == (
        "COMPLETED",
        run.id,
        stand_in.task_run_id,
    )
    assert (child.flow.name, child.parameters) == ("child", {"n": 1})


def test_a_subflow_comes_to_be_with_its_first_state_in_one_transaction(
    run: FlowRun, recorder: DatabaseRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "FLUSH_SECONDS", 600)
    info = recorder.begin(NewFlowRun(uuid7(), "child", "brave-child", {}, parent_run_id=run.id))
    assert not FlowRun.objects.filter(id=info.id).exists()
    recorder.transition(info.id, Running())
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT name, xmin::text FROM runs_flowrunstate WHERE flow_run_id = %s ORDER BY timestamp",
            [info.id],
        )
        (first, began), (second, went_on) = cursor.fetchall()
    assert (first, second) == ("Pending", "Running")
    assert began == went_on


def test_a_subflow_whose_first_answer_got_lost_begins_once(
    run: FlowRun, recorder: DatabaseRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in = event(run, Running(), name="child-0")
    recorder.task_event(stand_in)
    info = recorder.begin(
        NewFlowRun(uuid7(), "child", "brave-child", {}, parent_run_id=run.id,
                   parent_task_run_id=stand_in.task_run_id)
    )  # fmt: skip
    answers = count(1)
    whole = recorder._session.transaction

    @contextlib.contextmanager
    def losing() -> Iterator[Transaction]:
        with whole() as tx:
            yield tx
        if next(answers) == 1:
            raise psycopg.OperationalError("committed, and the answer got lost")

    with monkeypatch.context() as patch:
        patch.setattr(recorder._session, "transaction", losing)
        assert recorder.transition(info.id, Running()).status is Status.ACCEPT

    child = FlowRun.objects.get(id=info.id)
    assert (child.state_type, child.run_count) == ("RUNNING", 1)
    history = child.states.order_by("timestamp").values_list("name", flat=True)
    assert list(history) == ["Pending", "Running"]


def test_a_subflow_that_begins_when_its_root_has_been_killed_never_is(
    run: FlowRun, recorder: DatabaseRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "FLUSH_SECONDS", 600)
    info = recorder.begin(NewFlowRun(uuid7(), "child", "brave-child", {}, parent_run_id=run.id))
    cancel(DjangoSession(), run.id, "somebody", force=True)

    with pytest.raises(Aborted):
        recorder.transition(info.id, Running())

    assert not FlowRun.objects.filter(id=info.id).exists()


def test_text_that_postgresql_cannot_hold_is_made_holdable(run: FlowRun, recorder: DatabaseRecorder) -> None:
    recorder.log(line(run, "nul \x00 surrogate \ud800 end"))
    recorder.log(line(run, "x" * 1_500_000))
    recorder.flush()
    odd, long = (entry.message for entry in of_run(run))
    assert odd == "nul \ufffd surrogate ? end"
    assert long.endswith("… (500000 more characters left out)")


def test_tags_that_postgresql_cannot_hold_are_made_holdable(run: FlowRun, recorder: DatabaseRecorder) -> None:
    odd = ("nul \x00", "nul \x00", "lone \ud800", "x" * 300)
    task = event(run, Completed(), tags=odd)
    recorder.task_event(task)
    info = recorder.begin(NewFlowRun(uuid7(), "child", "odd-tags", {}, parent_run_id=run.id, tags=odd))
    recorder.transition(info.id, Running())
    for stored in (TaskRun.objects.get(id=task.task_run_id), FlowRun.objects.get(id=info.id)):
        assert stored.tags == ["nul \ufffd", "lone ?", "x" * 200]


def test_a_table_keeps_the_order_of_its_columns(run: FlowRun, recorder: DatabaseRecorder) -> None:
    rows = [{"year": 2012, "mm": 3.5, "a": 1, "city": {"name": "Seattle", "id": 10**30}}]
    recorder.artifact(NewArtifact(uuid7(), run.id, None, "table", "rain", "", rows))
    recorder.flush()

    artifact = Artifact.objects.get()
    assert list(artifact.data[0]) == ["year", "mm", "a", "city"]
    assert artifact.data[0]["city"] == {"name": "Seattle", "id": 10**30}
    artifact.save()
    artifact.refresh_from_db()
    assert list(artifact.data[0]["city"]) == ["name", "id"]


def test_artifacts_are_kept_once(run: FlowRun, recorder: DatabaseRecorder) -> None:
    table = NewArtifact(uuid7(), run.id, None, "table", "summary", "Rain", [{"year": 2012, "mm": 3.5}])
    recorder.artifact(table)
    recorder.artifact(table)
    recorder.flush()
    artifact = Artifact.objects.get()
    assert (artifact.key, artifact.data) == ("summary", [{"year": 2012, "mm": 3.5}])


def test_the_version_that_pages_watch_grows_with_each_batch(run: FlowRun, recorder: DatabaseRecorder) -> None:
    recorder.task_event(event(run, Running(), dynamic_key="0"))
    recorder.flush()
    seen = FlowRun.objects.get(id=run.id).version
    recorder.task_event(event(run, Running(), dynamic_key="1"))
    recorder.flush()
    changed = TaskRun.objects.filter(flow_run=run, version__gt=seen)
    assert [task_run.dynamic_key for task_run in changed] == ["1"]


def test_a_signal_in_the_middle_of_a_write_loses_nothing(
    run: FlowRun, recorder: DatabaseRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Signal(BaseException):
        pass

    def interrupted(tx: object, run_id: object, state: State) -> None:
        raise Signal

    recorder.task_event(event(run, Completed()))
    with monkeypatch.context() as patch:
        patch.setattr(recorder, "_propose", interrupted)
        with pytest.raises(Signal):
            recorder.transition(run.id, Completed())
    recorder.flush()
    assert TaskRun.objects.filter(flow_run=run).count() == 1
