"""What cannot go well has a documented outcome: a true state, and nothing hangs."""

import threading
from typing import Any

import pytest

from flows import flow, task
from flows.sdk.futures import TaskFuture
from flows.sdk.memory import MemoryRecorder
from flows.sdk.waits import CircularWaitError


def test_a_task_that_waits_for_itself_fails(recorder: MemoryRecorder) -> None:
    futures: list[TaskFuture[Any]] = []
    known = threading.Event()

    @task
    def narcissus() -> None:
        known.wait()
        futures[0].result()

    @flow
    def work() -> None:
        futures.append(narcissus.submit())
        known.set()
        futures[0].result()

    with pytest.raises(CircularWaitError, match="narcissus-0 -> narcissus-0"):
        work()
    assert recorder.states_of("narcissus")[-1] == "Failed"


def test_tasks_that_wait_for_each_other_fail(recorder: MemoryRecorder) -> None:
    futures: list[TaskFuture[Any]] = []
    known = threading.Event()

    @task
    def waits_for(other: int) -> None:
        known.wait()
        futures[other].result()

    @flow
    def work() -> None:
        futures.extend(waits_for.map([1, 2, 0]))
        known.set()

    assert work(return_state=True).is_completed()
    assert recorder.states_of("waits_for").count("Failed") == 3


def test_sys_exit_in_a_task_crashes_task_and_flow(recorder: MemoryRecorder) -> None:
    @task
    def leave() -> None:
        raise SystemExit(3)

    @flow
    def work() -> None:
        leave()

    with pytest.raises(SystemExit):
        work()
    assert recorder.states_of("leave")[-1] == recorder.states_of("work")[-1] == "Crashed"


def test_sys_exit_in_a_submitted_task_crashes_it(recorder: MemoryRecorder) -> None:
    @task
    def leave() -> None:
        raise SystemExit(3)

    assert flow(lambda: leave.submit(), name="work")(return_state=True).is_failed()
    assert recorder.states_of("leave")[-1] == "Crashed"


def test_a_task_run_in_a_thread_that_outlives_the_flow_ends_with_it(recorder: MemoryRecorder) -> None:
    import contextvars

    begun, go = threading.Event(), threading.Event()
    quietly = {"return_state": True}

    @task
    def linger() -> None:
        begun.set()
        go.wait()

    @flow
    def work() -> None:
        threading.Thread(target=contextvars.copy_context().run, args=(linger,), kwargs=quietly).start()
        begun.wait()

    work()
    go.set()
    assert recorder.states_of("linger") == ["Pending", "Running", "Crashed"]


class Stubborn:
    def __reduce__(self) -> Any:
        raise TypeError("not me")


def circle() -> list[Any]:
    items: list[Any] = [1]
    items.append(items)
    return items


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Stubborn(), "<Stubborn>"),
        (circle(), "<list>"),
        (b"\xff", "<bytes>"),
        (2**70, str(2**70)),
        (float("nan"), "NaN"),
        ("a\0b\ud800", "a\ufffdb?"),
        ({"x": [Stubborn()], "y": 1}, {"x": ["<Stubborn>"], "y": 1}),
    ],
)
def test_a_parameter_that_is_no_json_is_passed_and_shown_shortly(
    recorder: MemoryRecorder, value: Any, shown: Any
) -> None:
    assert flow(lambda value, other: (value, other), name="work")(value, 2)[0] is value
    assert recorder.flow_runs[0].parameters == {"value": shown, "other": 2}


def test_an_iterator_is_not_used_up_by_showing_it(recorder: MemoryRecorder) -> None:
    assert flow(lambda items: sum(items), name="work")(iter([1, 2, 3])) == 6
    assert recorder.flow_runs[0].parameters == {"items": "<list_iterator>"}
