"""A system that has no room for as many threads as a task runner would like."""

from threading import Thread
from typing import Any

import pytest

from flows import flow, task
from flows.sdk import runners


@task
def double(number: int) -> int:
    return 2 * number


@flow
def doubled(numbers: int) -> list[int]:
    return double.map(range(numbers)).result()


class Room:
    """Starts `left` threads, then refuses as Python does."""

    def __init__(self, left: int) -> None:
        self.left = left

    def thread(self, **options: Any) -> Thread:
        if self.left == 0:
            raise RuntimeError("can't start new thread")
        self.left -= 1
        return Thread(**options)


def test_the_threads_that_are_there_do_all_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runners, "Thread", Room(left=2).thread)

    assert doubled(20) == [2 * number for number in range(20)]


def test_without_a_single_thread_the_flow_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runners, "Thread", Room(left=0).thread)

    with pytest.raises(RuntimeError, match="can't start new thread"):
        doubled(1)
