"""What becomes of a flow's return value in memory, and of subflows when their parent is tried again."""

import logging
import threading
from typing import Any

import pytest

from flows import flow
from flows.sdk.flow_results import returned_key
from flows.sdk.memory import MemoryRecorder

calls: list[Any] = []


@pytest.fixture(autouse=True)
def forget() -> None:
    calls.clear()


@flow
def child(number: int) -> int:
    calls.append(number)
    return number + 1


def fails_once() -> None:
    calls.append("try")
    if calls.count("try") == 1:
        raise ValueError("not yet")


def test_a_completed_subflow_is_not_run_again_when_its_parent_is_retried(recorder: MemoryRecorder) -> None:
    @flow(retries=1)
    def parent() -> int:
        value = child(1)
        fails_once()
        return value

    assert parent() == 2
    assert calls == [1, "try", "try"]
    assert recorder.states_of("child") == ["Running", "Completed"]
    assert [event.state.name for event in recorder.task_events][-2:] == ["Pending", "Cached"]


async def test_async_subflows_are_not_run_again_either() -> None:
    @flow
    async def inner() -> int:
        calls.append("inner")
        return 1

    @flow(retries=1)
    async def outer() -> int:
        value = await inner()
        fails_once()
        return value

    assert await outer() == 1
    assert calls == ["inner", "try", "try"]


def test_with_other_parameters_it_is_another_call() -> None:
    @flow(retries=1)
    def parent() -> int:
        value = child(len(calls))
        fails_once()
        return value

    parent()

    assert calls == [0, "try", 2, "try"]


def test_with_persist_result_false_a_subflow_is_run_again() -> None:
    forgetful = child.with_options(persist_result=False)

    @flow(retries=1)
    def parent() -> int:
        value = forgetful(1)
        fails_once()
        return value

    parent()

    assert calls == [1, "try", 1, "try"]


def test_a_failed_subflow_is_run_again() -> None:
    @flow
    def broken() -> None:
        calls.append("broken")
        fails_once()

    flow(lambda: broken(), name="parent", retries=1)()

    assert calls == ["broken", "try", "broken", "try"]


def test_in_memory_a_value_is_kept_only_if_that_is_asked_for(recorder: MemoryRecorder) -> None:
    child(1)
    assert recorder.results.get(returned_key(recorder.flow_runs[0].id), of_run=True) is None

    child.with_options(persist_result=True)(1)
    assert recorder.results.get(returned_key(recorder.flow_runs[1].id), of_run=True)


def test_a_value_that_cannot_be_kept_is_one_line_in_the_log(
    recorder: MemoryRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    @flow(persist_result=True)
    def lock() -> Any:
        return threading.Lock()

    with caplog.at_level(logging.WARNING):
        assert lock(return_state=True).is_completed()

    [line] = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert "The return value is not kept" in line and "persist_result=False" in line
