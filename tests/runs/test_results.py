"""Results in PostgreSQL: kept with the task states, found by other processes, trusted only if signed."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flows import flow, task
from flows.cache_policies import INPUTS
from flows.sdk.engine import run_flow
from flows.sdk.flow_results import returned_key
from flows.sdk.flows import Flow
from flows.sdk.recorder import Aborted, FlowRunInfo
from flows.sdk.results import ResultStore, key_hash
from flows.sdk.states import State
from runs.models import FlowRun, Result, ResultLock, TaskRun
from runs.recorder import DatabaseRecorder
from runs.results import DatabaseResults, NewResult, digest_of, remove_expired_results
from runs.session import PsycopgSession, Transaction, conninfo_of_django
from tests.factories import lease, make_run

pytestmark = pytest.mark.django_db(transaction=True)

Attempt = Callable[..., DatabaseRecorder]


@pytest.fixture
def run() -> FlowRun:
    return lease(make_run())


@pytest.fixture
def attempt() -> Iterator[Attempt]:
    """Makes recorders, as the processes of attempts would."""
    with ExitStack() as stack:

        def make(run: FlowRun) -> DatabaseRecorder:
            recorder = DatabaseRecorder(PsycopgSession(conninfo_of_django()), run.id, run.attempt)
            stack.enter_context(suppress(Aborted))
            stack.callback(recorder.close)
            return recorder

        yield make


class Unasked:
    """A recorder that nobody may ask anything."""

    attempt = 1

    def __init__(self, run: FlowRun) -> None:
        self.run_id = self.result_scope = run.id
        self.written: list[NewResult] = []

    def result(self, result: NewResult) -> None:
        self.written.append(result)

    def flush(self) -> None:
        raise AssertionError("flushed")

    def transact(self, work: Callable[[Transaction], Any]) -> Any:
        raise AssertionError("asked")

    flush_with = transact


def test_to_keep_a_result_asks_the_database_nothing(run: FlowRun) -> None:
    recorder = Unasked(run)
    results = DatabaseResults(recorder, run.workspace_id)
    results.put("a", results.signer.sign("a", b"first"), None, of_run=True)
    assert [result.key for result in recorder.written] == ["a"]


def execute(work: Flow[..., Any], run: FlowRun, recorder: DatabaseRecorder) -> State:
    info = FlowRunInfo(run.id, run.name, work.name, {}, attempt=run.attempt, run_count=run.attempt - 1)
    return run_flow(work, {}, recorder=recorder, run=info)


def next_attempt(run: FlowRun) -> FlowRun:
    FlowRun.objects.filter(id=run.id).update(
        attempt=run.attempt + 1,
        state_type="PENDING",
        state_name="Pending",
        end_time=None,
        lease_expires=datetime.now(UTC) + timedelta(minutes=1),
    )
    run.refresh_from_db()
    return run


def test_a_result_is_found_before_and_after_it_is_durable(run: FlowRun, attempt: Attempt) -> None:
    results = attempt(run).results
    results.put("a", b"first", None, of_run=False)
    results.put("a", b"second", None, of_run=False)
    assert results.get("a", of_run=False) == b"second"
    assert attempt(run).results.get("a", of_run=False) is None
    results._writer.flush()
    assert results.get("a", of_run=False) == b"second"
    assert attempt(run).results.get("a", of_run=False) == b"second"


def test_an_expired_result_is_not_there(run: FlowRun, attempt: Attempt) -> None:
    recorder = attempt(run)
    recorder.results.put("a", b"old", datetime.now(UTC) - timedelta(seconds=1), of_run=False)
    recorder.flush()
    assert recorder.results.get("a", of_run=False) is None


@pytest.mark.parametrize("key", ["x" * 3000, "zero\x00byte", "lone \ud800 surrogate", ""])
def test_a_key_may_be_any_text(run: FlowRun, attempt: Attempt, key: str) -> None:
    recorder = attempt(run)
    recorder.results.put(key, b"data", None, of_run=False)
    recorder.flush()
    assert recorder.results.get(key, of_run=False) == b"data"


def test_a_large_result_goes_to_a_file(run: FlowRun, attempt: Attempt, settings: Any, tmp_path: Path) -> None:
    settings.PORTAL_RESULT_STORAGE = str(tmp_path)
    recorder = attempt(run)
    large = b"x" * (512 * 1024 + 1)
    recorder.results.put("large", large, None, of_run=False)
    recorder.flush()
    row = Result.objects.get()
    assert bytes(row.data) == b""
    assert Path(row.url).read_bytes() == large
    assert attempt(run).results.get("large", of_run=False) == large


def test_a_rescheduled_run_goes_on_where_it_was(run: FlowRun, attempt: Attempt) -> None:
    calls: list[str] = []

    @task
    def load(name: str) -> str:
        calls.append(name)
        return name.upper()

    @task
    def fail_once(text: str) -> str:
        calls.append("fail_once")
        if calls.count("fail_once") == 1:
            raise RuntimeError("no luck")
        return text

    @flow
    def work() -> str:
        return fail_once("".join(load.map(["a", "b"]).result()) + load("a"))

    assert execute(work, run, attempt(run)).is_failed()
    state = execute(work, next_attempt(run), attempt(run))
    assert state.is_completed(), state
    assert sorted(calls) == ["a", "a", "b", "fail_once", "fail_once"]
    second = TaskRun.objects.filter(flow_run=run, attempt=2)
    assert sorted(second.values_list("name", "state_name")) == [
        ("fail_once-0", "Completed"),
        ("load-0", "Cached"),
        ("load-1", "Cached"),
        ("load-2", "Cached"),
    ]


def test_equal_calls_of_one_try_do_not_share_a_result_unless_asked(run: FlowRun, attempt: Attempt) -> None:
    calls: list[str] = []

    @task
    def roll() -> int:
        calls.append("roll")
        return len(calls)

    @flow
    def work() -> list[int]:
        kept = roll.with_options(persist_result=True)
        return [roll(), roll(), kept(), kept()]

    assert execute(work, run, attempt(run)).result() == [1, 2, 3, 3]


@pytest.mark.parametrize("damage", ["tampered", "other keys", "other workspace"])
def test_what_cannot_be_verified_is_computed_anew_with_one_warning(
    run: FlowRun, attempt: Attempt, settings: Any, damage: str, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("flows.sdk.results._has_warned", threading.Event())
    recorder = attempt(run)
    store = ResultStore()
    store.keeper = recorder.results
    logger = logging.getLogger("test")
    for key in ("a", "b"):
        store.write(key, {"answer": 42})
    recorder.flush()
    assert store.read("a", logger) is not None
    if damage == "tampered":
        for row in Result.objects.all():
            Result.objects.filter(id=row.id).update(data=bytes(row.data)[:-1] + b"!")
    elif damage == "other keys":
        settings.PORTAL_RESULT_KEYS = ["another secret"]
        store.keeper = attempt(run).results
    else:
        rows = Result.objects.order_by("key")
        rows.filter(key="b").update(data=rows[0].data)
        rows.filter(key="a").delete()
    found = [store.read(key, logger) for key in ("a", "b")]
    assert found == [None, None]
    warnings = [r for r in caplog.records if "was altered, or signed by a key" in r.message]
    assert len(warnings) == 1


def test_keys_are_changed_without_a_gap(run: FlowRun, attempt: Attempt, settings: Any) -> None:
    settings.PORTAL_RESULT_KEYS = ["old"]
    store = ResultStore()
    store.keeper = (recorder := attempt(run)).results
    store.write("a", "value")
    recorder.flush()
    settings.PORTAL_RESULT_KEYS = ["new", "old"]
    store.keeper = attempt(run).results
    record = store.read("a", logging.getLogger("test"))
    assert record is not None and record.result == "value"


def test_a_result_that_cannot_be_serialised_leaves_the_run_completed(run: FlowRun, attempt: Attempt) -> None:
    @task
    def lock() -> Any:
        return threading.Lock()

    @flow
    def work() -> str:
        lock()
        return "done"

    assert execute(work, run, attempt(run)).result() == "done"
    assert [result.key for result in Result.objects.all()] == [returned_key(run.id)]


def test_a_lock_is_void_once_its_attempt_is_over(run: FlowRun, attempt: Attempt) -> None:
    other = lease(make_run())
    mine, theirs = attempt(run).results.locks, attempt(other).results.locks
    assert mine.acquire_lock("key", "me", 0)
    assert mine.acquire_lock("key", "me", 0)
    assert not theirs.acquire_lock("key", "they", 0)
    FlowRun.objects.filter(id=run.id).update(lease_expires=None)
    assert theirs.acquire_lock("key", "they", 0)
    theirs.release_lock("key", "they")
    assert not ResultLock.objects.exists()


def test_a_result_is_there_when_its_lock_is_released(run: FlowRun, attempt: Attempt) -> None:
    results = attempt(run).results
    results.locks.acquire_lock("key", "me", 0)
    results.put("key", b"value", None, of_run=False)
    results.locks.release_lock("key", "me")
    assert Result.objects.filter(digest=digest_of(key_hash("key"))).exists()


def test_two_runs_share_a_result_by_policy(run: FlowRun, attempt: Attempt) -> None:
    calls: list[int] = []

    @task(cache_policy=INPUTS)
    def double(number: int) -> int:
        calls.append(number)
        return 2 * number

    @flow
    def work() -> int:
        return double(4)

    other = lease(make_run())
    assert execute(work, run, attempt(run)).result() == 8
    assert execute(work, other, attempt(other)).result() == 8
    assert calls == [4]
    assert TaskRun.objects.get(flow_run=other).state_name == "Cached"


def test_expired_results_are_removed_with_their_files(
    run: FlowRun, attempt: Attempt, settings: Any, tmp_path: Path
) -> None:
    settings.PORTAL_RESULT_STORAGE = str(tmp_path)
    recorder, now = attempt(run), datetime.now(UTC)
    recorder.results.put("small", b"data", now, of_run=False)
    recorder.results.put("large", b"x" * 600_000, now, of_run=False)
    recorder.results.put("fresh", b"data", now + timedelta(hours=1), of_run=False)
    recorder.results.put("for ever", b"data", None, of_run=False)
    recorder.flush()
    assert remove_expired_results(now) == 2
    assert sorted(Result.objects.values_list("key", flat=True)) == ["for ever", "fresh"]
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_finished_tasks_of_a_failed_subflow_are_not_computed_again(run: FlowRun, attempt: Attempt) -> None:
    calls: list[str] = []

    @task
    def load(name: str) -> str:
        calls.append(name)
        return name

    @flow
    def child(name: str) -> None:
        load(name)
        if len(calls) < 3:
            raise RuntimeError("not yet")

    @flow
    def work() -> None:
        child("a", return_state=True)
        child("b")

    assert execute(work, run, attempt(run)).is_failed()
    calls.append("the second attempt")
    assert execute(work, next_attempt(run), attempt(run)).is_completed()
    assert calls == ["a", "b", "the second attempt"]
