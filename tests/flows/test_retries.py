"""Retries of tasks and flows."""

from collections.abc import Callable

import pytest

from flows import flow, task
from flows.sdk.memory import MemoryRecorder


def failing(times: int) -> Callable[[], str]:
    """A function that raises at its first `times` calls."""
    left = [times]

    def attempt() -> str:
        if left[0]:
            left[0] -= 1
            raise ConnectionError("try later")
        return "done"

    return attempt


def test_a_task_is_tried_again_until_it_completes(recorder: MemoryRecorder) -> None:
    fetch = task(failing(2), name="fetch", retries=2)
    assert flow(lambda: fetch(), name="work")() == "done"
    assert recorder.states_of("fetch") == [
        "Pending", "Running", "AwaitingRetry", "Retrying", "AwaitingRetry", "Retrying", "Completed",
    ]  # fmt: skip
    assert recorder.task_events[-1].run_count == 3


def test_a_task_fails_once_its_retries_are_used_up(recorder: MemoryRecorder) -> None:
    fetch = task(failing(2), name="fetch", retries=1)
    with pytest.raises(ConnectionError):
        flow(lambda: fetch(), name="work")()
    assert recorder.states_of("fetch")[-1] == "Failed"


def test_a_task_waits_for_its_retry_delay(recorder: MemoryRecorder) -> None:
    fetch = task(failing(1), name="fetch", retries=1, retry_delay_seconds=0.05)
    flow(lambda: fetch(), name="work")()
    awaiting, retrying = list(recorder.task_events)[2:4]
    assert (retrying.state.timestamp - awaiting.state.timestamp).total_seconds() >= 0.05
    assert awaiting.state.details["scheduled_time"] <= retrying.state.timestamp.isoformat()


def test_time_between_tries_does_not_count_as_run_time(recorder: MemoryRecorder) -> None:
    fetch = task(failing(1), name="fetch", retries=1, retry_delay_seconds=0.2)
    flow(lambda: fetch(), name="work")()
    running, ended = recorder.task_events[1], recorder.task_events[-1]
    elapsed = (ended.state.timestamp - running.state.timestamp).total_seconds()
    assert ended.total_run_time < elapsed - 0.19


def test_a_submitted_task_is_retried(recorder: MemoryRecorder) -> None:
    fetch = task(failing(1), name="fetch", retries=1)
    assert flow(lambda: fetch.submit().result(), name="work")() == "done"


def test_a_flow_is_tried_again_in_its_process(recorder: MemoryRecorder) -> None:
    work = flow(failing(1), name="work", retries=1, retry_delay_seconds=0.01)
    assert work() == "done"
    assert recorder.states_of("work") == ["Running", "AwaitingRetry", "Retrying", "Completed"]
    awaiting = recorder.flow_states[1][1]
    assert awaiting.details["retry_in_process"] is True
    assert "scheduled_time" in awaiting.details


def test_a_flow_that_returns_a_failed_state_is_tried_again(recorder: MemoryRecorder) -> None:
    fetch = task(failing(1), name="fetch")
    assert flow(lambda: fetch.submit(), name="work", retries=1)() == "done"
    assert recorder.states_of("work") == ["Running", "AwaitingRetry", "Retrying", "Completed"]


def test_wrong_parameters_are_not_tried_again(recorder: MemoryRecorder) -> None:
    @flow(retries=3)
    def work(year: int) -> None: ...

    assert work("soon", return_state=True).is_failed()
    assert recorder.states_of("work") == ["Running", "Failed"]
