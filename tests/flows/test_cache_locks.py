"""Calls of one cache key at the same time: who computes, who waits, and the locks between them."""

import threading
from pathlib import Path

import pytest

from flows import flow, task
from flows.cache_policies import (
    TASK_SOURCE,
)
from flows.locking.filesystem import FileSystemLockManager
from flows.locking.memory import MemoryLockManager
from flows.sdk.memory import MemoryRecorder


def test_submitted_calls_of_one_key_compute_it_once(recorder: MemoryRecorder) -> None:
    release = threading.Event()
    calls: list[int] = []

    @task(cache_key_fn=lambda context, parameters: "the-key")
    def slow(number: int) -> int:
        calls.append(number)
        release.wait(60)
        return number

    @flow
    def work() -> list[int]:
        futures = slow.map(range(5))
        while not calls:
            pass
        release.set()
        return futures.result()

    assert len(set(work())) == 1
    assert len(calls) == 1
    assert recorder.states_of("slow").count("Cached") == 4


async def test_coroutines_of_one_key_compute_it_once(recorder: MemoryRecorder) -> None:
    import asyncio

    calls: list[int] = []

    @task(cache_policy=TASK_SOURCE)
    async def slow(number: int) -> int:
        calls.append(number)
        await asyncio.sleep(0.05)
        return number

    @flow
    async def work() -> list[int]:
        return await asyncio.gather(*(slow(number) for number in range(3)))

    assert await work() == [0, 0, 0]


def test_read_committed_never_waits(recorder: MemoryRecorder) -> None:
    both = threading.Barrier(2, timeout=60)

    @task(cache_policy=TASK_SOURCE.configure(isolation_level="READ_COMMITTED"))
    def meet() -> int:
        return both.wait()

    @flow
    def work() -> list[int]:
        return [future.result() for future in (meet.submit(), meet.submit())]

    assert sorted(work()) == [0, 1]


def test_nested_calls_of_one_key_do_not_wait_for_each_other(recorder: MemoryRecorder) -> None:
    @task(cache_key_fn=lambda context, parameters: "same")
    def inner() -> int:
        return 1

    @task(cache_key_fn=lambda context, parameters: "same")
    def outer() -> int:
        return inner() + 1

    assert flow(lambda: outer(), name="work")() == 2


@pytest.mark.parametrize("kind", ["memory", "files"])
def test_lock_managers(kind: str, tmp_path: Path) -> None:
    locks = MemoryLockManager() if kind == "memory" else FileSystemLockManager(tmp_path / "locks")
    assert locks.acquire_lock("a", "me")
    assert locks.acquire_lock("a", "me", acquire_timeout=0)
    assert not locks.acquire_lock("a", "you", acquire_timeout=0.01)
    assert locks.acquire_lock("b", "you")
    assert locks.is_lock_holder("a", "me") and not locks.is_lock_holder("a", "you")
    locks.release_lock("a", "you")
    assert locks.is_locked("a") and not locks.wait_for_lock("a", timeout=0.01)
    locks.release_lock("a", "me")
    assert not locks.is_locked("a") and locks.wait_for_lock("a", timeout=0)
    assert locks.acquire_lock("a", "me", hold_timeout=0)
    assert locks.acquire_lock("a", "you", acquire_timeout=0)
