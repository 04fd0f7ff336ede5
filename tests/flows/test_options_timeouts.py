"""Timeouts of flows and tasks, wherever their code runs."""

import asyncio
import ctypes
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from flows import flow, task
from flows.sdk.memory import MemoryRecorder
from flows.sdk.timeouts import FlowRunTimeoutError, TaskRunTimeoutError

LONG = 120.0


def spin() -> None:
    """Python code that never waits."""
    end = time.monotonic() + LONG
    while time.monotonic() < end:
        pass


def sleep() -> None:
    time.sleep(LONG)


def wait_in_c() -> None:
    ctypes.CDLL(None).sleep(int(LONG))


def wait_for_a_lock() -> None:
    threading.Event().wait(LONG)


def swallow() -> None:
    try:
        time.sleep(LONG)
    except Exception:
        time.sleep(LONG)


@pytest.fixture(autouse=True)
def in_time() -> Any:
    start = time.monotonic()
    yield
    assert time.monotonic() - start < LONG / 2


EVERYWHERE = pytest.mark.parametrize("code", [spin, sleep, wait_in_c, wait_for_a_lock, swallow])


@EVERYWHERE
def test_a_flow_that_takes_too_long_has_timed_out(recorder: MemoryRecorder, code: Callable[[], None]) -> None:
    state = flow(code, timeout_seconds=0.1)(return_state=True)
    assert (state.type.value, state.name) == ("FAILED", "TimedOut")
    assert state.message == "Flow run exceeded timeout of 0.1 second(s)"
    with pytest.raises(FlowRunTimeoutError):
        state.result()


@EVERYWHERE
def test_a_task_that_takes_too_long_has_timed_out(recorder: MemoryRecorder, code: Callable[[], None]) -> None:
    late = task(code, timeout_seconds=0.1)
    state = flow(lambda: {"late": late(return_state=True)}, name="work")()["late"]
    assert (state.type.value, state.name) == ("FAILED", "TimedOut")
    with pytest.raises(TaskRunTimeoutError, match=r"exceeded timeout of 0\.1 second"):
        state.result()


@EVERYWHERE
def test_a_submitted_task_that_takes_too_long_has_timed_out(
    recorder: MemoryRecorder, code: Callable[[], None]
) -> None:
    late = task(code, timeout_seconds=0.1)
    assert flow(lambda: late.submit(), name="work")(return_state=True).is_failed()
    assert recorder.states_of(code.__name__) == ["Pending", "Running", "TimedOut"]


async def test_coroutines_time_out(recorder: MemoryRecorder) -> None:
    @task(timeout_seconds=0.1)
    async def late() -> None:
        await asyncio.sleep(LONG)

    @flow(timeout_seconds=2)
    async def work() -> str:
        name = (await late(return_state=True)).name
        await asyncio.sleep(LONG)
        return str(name)

    state: Any = await work(return_state=True)
    assert state.name == "TimedOut"
    assert recorder.states_of("late")[-1] == "TimedOut"


def test_a_task_that_timed_out_is_tried_again(recorder: MemoryRecorder) -> None:
    seconds = iter([LONG, 0])
    late = task(lambda: time.sleep(next(seconds)), name="late", timeout_seconds=1, retries=1)
    flow(lambda: late(), name="work")()
    assert recorder.states_of("late")[-3:] == ["AwaitingRetry", "Retrying", "Completed"]


def test_a_flow_that_timed_out_is_tried_again(recorder: MemoryRecorder) -> None:
    seconds = iter([LONG, 0])
    flow(lambda: time.sleep(next(seconds)), name="work", timeout_seconds=1, retries=1)()
    assert recorder.states_of("work") == ["Running", "AwaitingRetry", "Retrying", "Completed"]


def test_the_timeout_of_a_flow_ends_the_tasks_that_it_called(recorder: MemoryRecorder) -> None:
    one, other = task(sleep, name="one"), task(sleep, name="other")

    @flow(timeout_seconds=1)
    def work() -> None:
        other.submit()
        one()

    assert work(return_state=True).name == "TimedOut"
    assert recorder.states_of("one")[-1] == "Cancelled"
    assert recorder.states_of("other")[-1] == "Cancelled"


def test_the_timeout_of_a_flow_covers_its_submitted_tasks(recorder: MemoryRecorder) -> None:
    late = task(sleep, name="late")
    work = flow(lambda: (late.submit(), None)[-1], name="work", timeout_seconds=1)
    assert work(return_state=True).name == "TimedOut"
    assert recorder.states_of("late")[-1] == "Cancelled"


def test_the_tighter_of_two_timeouts_counts(recorder: MemoryRecorder) -> None:
    late = task(sleep, name="late", timeout_seconds=0.1)
    roomy = task(sleep, name="roomy", timeout_seconds=LONG)

    @flow(timeout_seconds=2)
    def work() -> None:
        late(return_state=True)
        roomy()

    assert work(return_state=True).name == "TimedOut"
    assert recorder.states_of("late")[-1] == "TimedOut"
    assert recorder.states_of("roomy")[-1] == "Cancelled"


def test_a_subflow_ends_with_the_timeout_of_its_parent(recorder: MemoryRecorder) -> None:
    child = flow(sleep, name="child")
    work = flow(lambda: child(), name="work", timeout_seconds=1)
    assert work(return_state=True).name == "TimedOut"
    assert recorder.states_of("child") == ["Running", "Cancelled"]


def test_a_timeout_of_the_code_itself_is_a_timeout_too(recorder: MemoryRecorder) -> None:
    def impatient() -> None:
        raise TimeoutError("the server is slow")

    fetch = task(impatient)
    state = flow(lambda: fetch(), name="work")(return_state=True)
    assert (state.type.value, state.name) == ("FAILED", "TimedOut")
    assert state.message.endswith("TimeoutError: the server is slow")
    assert recorder.states_of("impatient")[-1] == "TimedOut"


def test_code_in_time_is_left_alone(recorder: MemoryRecorder) -> None:
    quick = task(lambda: threading.current_thread().name, name="quick", timeout_seconds=60)
    assert flow(lambda: quick(), name="work", timeout_seconds=60)() == "MainThread"
    time.sleep(0.05)
