"""Options that say when a failed run is tried again."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flows import flow, task
from flows.cache_policies import NO_CACHE
from flows.sdk.memory import MemoryRecorder
from flows.sdk.retries import delay_before
from flows.sdk.states import Failed, State
from flows.tasks import exponential_backoff
from flows.testing import flow_test_harness


def failing(times: int) -> Callable[[], str]:
    """A function that raises at its first `times` calls."""
    left = [times]

    def attempt() -> str:
        left[0] -= 1
        if left[0] >= 0:
            raise ConnectionError("try later")
        return "done"

    return attempt


def test_a_list_of_delays_is_used_in_order_and_its_last_again(recorder: MemoryRecorder) -> None:
    fetch = task(failing(3), name="fetch", retries=3, retry_delay_seconds=[10, 50])
    with flow_test_harness() as harness:
        assert flow(lambda: fetch(), name="work")() == "done"
    assert harness.clock.slept == [10, 50, 50]


def test_exponential_backoff_doubles_the_delay() -> None:
    fetch = task(failing(0), name="fetch", retries=4, retry_delay_seconds=exponential_backoff(10))
    assert fetch.retry_delays == (10, 20, 40, 80)


def test_jitter_varies_the_delay_by_its_factor() -> None:
    delays = {delay_before(1, [10], jitter_factor=0.5) for _ in range(100)}
    assert len(delays) > 50
    assert 5 <= min(delays) < 8
    assert 12 < max(delays) <= 15


def test_a_task_varies_its_delay(recorder: MemoryRecorder) -> None:
    fetch = task(failing(2), name="fetch", retries=2, retry_delay_seconds=10, retry_jitter_factor=0.5)
    with flow_test_harness() as harness:
        flow(lambda: fetch(), name="work")()
    first, second = harness.clock.slept
    assert 5 <= first <= 15 and 5 <= second <= 15 and first != second


def test_who_watches_the_run_learns_how_often_it_may_crash(recorder: MemoryRecorder) -> None:
    flow(lambda: None, name="work", crash_retries=3, crash_retry_delay_seconds=1.5)()
    details = recorder.flow_states[0][1].details
    assert (details["crash_retries"], details["crash_retry_delay_seconds"]) == (3, 1.5)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"retries": -1}, "retries must be 0 or more"),
        ({"retry_delay_seconds": -1}, "retry_delay_seconds must be 0 or more, not -1"),
        ({"retry_delay_seconds": [1, -2]}, "retry_delay_seconds must be 0 or more, not -2"),
        ({"retry_delay_seconds": math.nan}, "retry_delay_seconds must be 0 or more, not nan"),
        ({"retry_delay_seconds": [1] * 51}, "may hold 50 delays at most, not 51"),
        ({"retries": 51, "retry_delay_seconds": exponential_backoff(1)}, "may hold 50 delays"),
        ({"retry_jitter_factor": -0.1}, "retry_jitter_factor must be 0 or more"),
        ({"timeout_seconds": -1}, "timeout_seconds must be 0 or more"),
    ],
)
def test_a_task_refuses_a_bad_number_where_it_is_written(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        task(**options)(lambda: None)


@pytest.mark.parametrize("option", ["retries", "retry_delay_seconds", "crash_retries", "timeout_seconds"])
def test_a_flow_refuses_a_bad_number_where_it_is_written(option: str) -> None:
    with pytest.raises(ValueError, match="must be 0 or more, not -1"):
        flow(**{option: -1})(lambda: None)


def test_the_retry_condition_is_asked_with_task_run_and_state(recorder: MemoryRecorder) -> None:
    asked: list[tuple[str, str, str]] = []

    def worth_it(task: Any, run: Any, state: State) -> bool:
        asked.append((task.name, run.name, state.message))
        return len(asked) < 2

    fetch = task(failing(9), name="fetch", retries=5, retry_condition_fn=worth_it)
    with pytest.raises(ConnectionError):
        flow(lambda: fetch(), name="work")()
    message = "Task run encountered an exception ConnectionError: try later"
    assert asked == [("fetch", "fetch-0", message)] * 2
    assert recorder.states_of("fetch").count("Retrying") == 1


def test_a_retry_condition_that_raises_means_no(recorder: MemoryRecorder) -> None:
    fetch = task(failing(1), name="fetch", retries=1, retry_condition_fn=lambda *_: 1 // 0)
    with pytest.raises(ConnectionError):
        flow(lambda: fetch(), name="work")()
    assert any("The retry condition of task 'fetch' raised" in line.message for line in recorder.logs)


def test_a_task_that_returns_a_failed_state_is_tried_again(recorder: MemoryRecorder) -> None:
    answers: list[Any] = [Failed(message="not yet"), "done"]
    fetch = task(lambda: answers.pop(0), name="fetch", retries=1)
    assert flow(lambda: fetch(), name="work")() == "done"
    assert recorder.states_of("fetch")[-3:] == ["AwaitingRetry", "Retrying", "Completed"]


def test_defaults_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTAL_TASKS_DEFAULT_RETRIES", "2")
    monkeypatch.setenv("PORTAL_TASKS_DEFAULT_RETRY_DELAY_SECONDS", "1.5")
    monkeypatch.setenv("PORTAL_FLOWS_DEFAULT_RETRIES", "3")
    monkeypatch.setenv("PORTAL_FLOWS_DEFAULT_RETRY_DELAY_SECONDS", "4")
    fetch, work = task(lambda: None), flow(lambda: None)
    assert (fetch.retries, fetch.retry_delays) == (2, (1.5,))
    assert (work.retries, work.retry_delay_seconds) == (3, 4)
    assert task(retries=0)(lambda: None).retries == 0


def test_a_default_that_is_no_number_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTAL_TASKS_DEFAULT_RETRIES", "many")
    with pytest.raises(ValueError, match="PORTAL_TASKS_DEFAULT_RETRIES must be a number, not 'many'"):
        task(lambda: None)


def test_a_flow_retry_uses_again_what_finished_tasks_computed(recorder: MemoryRecorder) -> None:
    calls: list[int] = []
    fragile = failing(1)

    @task
    def square(n: int) -> int:
        calls.append(n)
        return n * n

    @flow(retries=1)
    def work() -> int:
        total = sum(square.map([1, 2, 3]).result()) + square(4)
        fragile()
        return total

    assert work() == 30
    assert sorted(calls) == [1, 2, 3, 4]
    assert [event.state.name for event in recorder.task_events].count("Cached") == 4


def test_a_flow_retry_computes_anew_what_got_other_inputs(recorder: MemoryRecorder) -> None:
    tries = iter([1, 2])
    fragile = failing(1)
    double = task(lambda n: 2 * n, name="double")

    @flow(retries=1)
    def work() -> int:
        result = double(next(tries))
        fragile()
        return result

    assert work() == 4
    assert "Cached" not in recorder.states_of("double")


@pytest.mark.parametrize("option", [{"cache_policy": NO_CACHE}, {"refresh_cache": True}])
def test_a_flow_retry_computes_anew_what_must_not_be_cached(
    recorder: MemoryRecorder, option: dict[str, Any]
) -> None:
    calls: list[int] = []
    fragile = failing(1)
    note = task(lambda: calls.append(1), name="note", **option)
    flow(lambda: (note(), fragile())[1], name="work", retries=1)()
    assert len(calls) == 2


def test_a_flow_retry_takes_the_items_of_a_generator_again(recorder: MemoryRecorder) -> None:
    fragile = failing(1)

    @task
    def letters() -> Iterator[str]:
        yield from "ab"

    @flow(retries=1)
    def work() -> list[str]:
        found = list(letters())
        fragile()
        return found

    assert work() == ["a", "b"]


def test_a_flow_retry_runs_failed_tasks_again(recorder: MemoryRecorder) -> None:
    fetch = task(failing(1), name="fetch")
    assert flow(lambda: fetch(), name="work", retries=1)() == "done"
    assert recorder.states_of("fetch") == ["Pending", "Running", "Failed", "Pending", "Running", "Completed"]


def test_the_retry_condition_may_be_a_coroutine_function(recorder: MemoryRecorder) -> None:
    async def never(task: Any, run: Any, state: State) -> bool:
        return False

    fetch = task(failing(9), name="fetch", retries=5, retry_condition_fn=never)
    with pytest.raises(ConnectionError):
        flow(lambda: fetch(), name="work")()
    assert recorder.states_of("fetch") == ["Pending", "Running", "Failed"]
