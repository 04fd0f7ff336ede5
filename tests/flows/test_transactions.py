"""Transactions: commit modes, hooks, values, rollback in reverse order."""

import threading
from pathlib import Path
from typing import Any

import pytest

from flows import flow, task
from flows.cache_policies import INPUTS, TASK_SOURCE
from flows.locking.filesystem import FileSystemLockManager
from flows.results import ResultStore, get_result_store
from flows.sdk.memory import MemoryRecorder
from flows.sdk.recorder import Aborted
from flows.transactions import (
    CommitMode,
    IsolationLevel,
    atransaction,
    get_transaction,
    transaction,
)

Events = list[str]


@pytest.fixture
def events() -> Events:
    return []


def step(name: str, events: Events, **options: Any) -> Any:
    """A task that notes its call, its commit and its rollback."""

    @task(name=name, **options)
    def run(fail: bool = False) -> str:
        events.append(name)
        if fail:
            raise RuntimeError(f"{name} failed")
        return name

    run.on_commit(lambda transaction: events.append(f"commit {name}"))
    run.on_rollback(lambda transaction: events.append(f"roll back {name}"))
    return run


def test_a_task_alone_commits_when_it_ends(recorder: MemoryRecorder, events: Events) -> None:
    flow(lambda: step("a", events)(), name="work")()
    assert events == ["a", "commit a"]


def test_a_failed_task_commits_nothing(recorder: MemoryRecorder, events: Events) -> None:
    flow(lambda: step("a", events)(fail=True), name="work")(return_state=True)
    assert events == ["a"]


def test_a_block_commits_all_at_its_end(recorder: MemoryRecorder, events: Events) -> None:
    @flow
    def work() -> None:
        with transaction():
            step("a", events)()
            step("b", events)()
            events.append("end of block")

    work()
    assert events == ["a", "b", "end of block", "commit a", "commit b"]


def test_a_failure_rolls_back_last_first(recorder: MemoryRecorder, events: Events) -> None:
    @flow
    def work() -> None:
        with transaction():
            step("a", events)()
            step("b", events)()
            step("c", events)(fail=True)

    assert work(return_state=True).is_failed()
    assert events == ["a", "b", "c", "roll back b", "roll back a"]
    assert recorder.states_of("a")[-1] == "RolledBack"
    assert recorder.states_of("c")[-1] == "Failed"


def test_an_exception_in_the_block_rolls_back_too(events: Events) -> None:
    with pytest.raises(ZeroDivisionError), transaction():
        step("a", events)()
        raise ZeroDivisionError
    assert events == ["a", "roll back a"]


def test_an_attempt_that_lost_its_run_undoes_nothing(events: Events) -> None:
    with pytest.raises(Aborted), transaction():
        step("a", events)()
        raise Aborted("another attempt owns the run")
    assert events == ["a"]


def test_nested_blocks_roll_back_together(events: Events) -> None:
    with pytest.raises(RuntimeError), transaction():
        step("a", events)()
        with transaction():
            step("b", events)()
        step("c", events)(fail=True)
    assert events == ["a", "b", "c", "roll back b", "roll back a"]


def test_eager_commits_as_it_goes(events: Events) -> None:
    with pytest.raises(RuntimeError), transaction(commit_mode=CommitMode.EAGER):
        step("a", events)()
        step("b", events)(fail=True)
    assert events == ["a", "commit a", "b"]


@pytest.mark.parametrize("committed", [True, False])
def test_off_commits_only_when_told(events: Events, committed: bool) -> None:
    with transaction(commit_mode="OFF") as txn:
        step("a", events)()
        if committed:
            assert txn.commit()
    assert events == ["a", "commit a" if committed else "roll back a"]
    assert txn.is_committed() is committed


def test_a_nested_task_is_undone_with_the_task_around_it(recorder: MemoryRecorder, events: Events) -> None:
    @task
    def outer() -> None:
        step("inner", events)()
        raise RuntimeError("after all")

    flow(lambda: outer(), name="work")(return_state=True)
    assert events == ["inner", "roll back inner"]


def test_a_submitted_task_belongs_to_the_block(recorder: MemoryRecorder, events: Events) -> None:
    @flow
    def work() -> None:
        with transaction():
            step("a", events).submit().wait()
            raise RuntimeError("no")

    work(return_state=True)
    assert events == ["a", "roll back a"]


def test_values_are_found_from_within_and_by_hooks(events: Events) -> None:
    @task
    def write(path: str) -> None:
        get_transaction().set("path", path)  # type: ignore[union-attr]

    write.on_rollback(lambda transaction: events.append(f"remove {transaction.get('path')}"))
    with pytest.raises(RuntimeError), transaction() as txn:
        txn.set("table", ["t"])
        write("/a")
        with transaction() as inner:
            inner.get("table").append("changed")
            assert inner.get("table") == ["t"]
            assert inner.get("nothing", default=None) is None
            with pytest.raises(ValueError, match="Could not retrieve value for unknown key: nothing"):
                inner.get("nothing")
        raise RuntimeError("no")
    assert events == ["remove /a"]


def test_a_hook_that_fails_on_commit_rolls_back(recorder: MemoryRecorder, events: Events) -> None:
    def refuse(transaction: Any) -> None:
        raise OSError("disk full")

    with transaction() as txn:
        step("a", events)()
        step("b", events, on_commit=[refuse])()
    assert txn.is_rolled_back()
    assert events == ["a", "b", "commit a", "roll back b"]


def test_a_hook_that_fails_on_rollback_is_logged(events: Events, caplog: pytest.LogCaptureFixture) -> None:
    def refuse(transaction: Any) -> None:
        raise OSError("disk full")

    with pytest.raises(RuntimeError, match="no"), transaction():
        step("a", events, on_rollback=[refuse])()
        raise RuntimeError("no")
    assert "A rollback hook raised an exception" in caplog.text


async def test_async_blocks_and_hooks(recorder: MemoryRecorder, events: Events) -> None:
    @task
    async def save() -> None:
        events.append("save")

    @save.on_rollback
    async def undo(transaction: Any) -> None:
        events.append("undo")

    @flow
    async def work() -> None:
        async with atransaction():
            await save()
            raise RuntimeError("no")

    await work(return_state=True)
    assert events == ["save", "undo"]
    async with atransaction(commit_mode=CommitMode.OFF) as txn:
        await save()
        assert await txn.commit()
    assert events == ["save", "undo", "save"]


def test_results_of_a_block_are_kept_with_it(recorder: MemoryRecorder, events: Events) -> None:
    cached = step("a", events, cache_policy=INPUTS + TASK_SOURCE)
    with pytest.raises(RuntimeError), transaction():
        cached()
        raise RuntimeError("no")
    with transaction():
        cached()
    with transaction():
        cached()
    assert events == ["a", "roll back a", "a", "commit a"]


def test_a_staged_value_is_kept_by_key(recorder: MemoryRecorder) -> None:
    for attempt in (1, 2):
        with transaction("the-key") as txn:
            if attempt == 1:
                assert not txn.is_committed() and txn.read() is None
                txn.stage({"rows": 3})
            else:
                assert txn.is_committed() and txn.read().result == {"rows": 3}  # type: ignore[union-attr]
    with transaction("the-key", overwrite=True) as txn:
        assert not txn.is_committed()
        txn.stage("new")
    with transaction("the-key", store=get_result_store()) as txn:
        assert txn.read().result == "new"  # type: ignore[union-attr]
    with transaction("other-key", write_on_commit=False) as txn:
        txn.stage("lost")
    with transaction("other-key") as txn:
        assert txn.read() is None


def test_serializable_blocks_take_turns(recorder: MemoryRecorder, tmp_path: Path) -> None:
    store = ResultStore(tmp_path / "results", "json", FileSystemLockManager(tmp_path / "locks"))
    computed: list[int] = []
    started = threading.Barrier(2, timeout=60)

    def compute(number: int) -> None:
        started.wait()
        with transaction("key", store=store, isolation_level=IsolationLevel.SERIALIZABLE) as txn:
            if not txn.is_committed():
                computed.append(number)
                txn.stage(number)

    threads = [threading.Thread(target=compute, args=[number]) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(computed) == 1
    assert not store.locks.is_locked("key")  # type: ignore[attr-defined]


def test_a_value_that_cannot_be_serialised_is_said_and_costs_nothing_else(
    recorder: MemoryRecorder, events: Events, caplog: pytest.LogCaptureFixture
) -> None:
    @task(persist_result=True, on_rollback=[lambda transaction: events.append("roll back")])
    def lock() -> Any:
        return threading.Lock()

    assert flow(lambda: lock() and "done", name="work")() == "done"
    lines = [line.message for line in recorder.logs if "not kept" in line.message]
    assert len(lines) == 1 and "a result of type lock" in lines[0]
    assert events == []


def test_with_options_keeps_the_hooks(events: Events) -> None:
    step("a", events).with_options(name="b")()
    assert events == ["a", "commit a"]
