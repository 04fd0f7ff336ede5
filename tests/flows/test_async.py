"""Async flows and tasks: the same engine, driven by an event loop."""

import asyncio

import pytest

from flows import flow, get_run_logger, task
from flows.sdk.memory import MemoryRecorder


@task
async def add(a: int, b: int) -> int:
    await asyncio.sleep(0)
    return a + b


async def test_an_async_flow_awaits_async_tasks(recorder: MemoryRecorder) -> None:
    @flow
    async def work(number: int) -> int:
        return await add(await add(number, 1), 1)

    assert await work("3") == 5
    assert recorder.states_of("work") == ["Running", "Completed"]
    assert recorder.states_of("add") == ["Pending", "Running", "Completed"] * 2


async def test_gathered_tasks_run_side_by_side(recorder: MemoryRecorder) -> None:
    meeting = asyncio.Barrier(3)

    @task
    async def meet(number: int) -> int:
        await meeting.wait()
        get_run_logger().info("met %d", number)
        return number

    @flow
    async def work() -> list[int]:
        return await asyncio.gather(*(meet(number) for number in range(3)))

    assert await work() == [0, 1, 2]
    ids = {event.task_run_id for event in recorder.task_events}
    assert {line.task_run_id for line in recorder.logs if "met" in line.message} == ids


async def test_futures_as_inputs_are_awaited_without_blocking_the_loop() -> None:
    let_go = asyncio.Event()
    loop = asyncio.get_running_loop()

    @task
    def slow() -> int:
        # Ends only if the event loop goes on while the other task waits for this one.
        return asyncio.run_coroutine_threadsafe(give(), loop).result(10)

    async def give() -> int:
        let_go.set()
        return 20

    @flow
    async def work() -> int:
        return await add(slow.submit(), 1)

    assert await work() == 21
    assert let_go.is_set()


def test_an_async_task_can_be_submitted_from_a_sync_flow() -> None:
    assert flow(lambda: add.submit(add.submit(1, 2), 3).result(), name="work")() == 6


async def test_sync_tasks_can_be_called_in_async_flows() -> None:
    double = task(lambda number: 2 * number, name="double")

    @flow
    async def work() -> int:
        return double(4) + double.submit(5).result()

    assert await work() == 18


async def test_an_async_task_is_retried(recorder: MemoryRecorder) -> None:
    failures = [ConnectionError("later")]

    @task(retries=1, retry_delay_seconds=0.01)
    async def fetch() -> str:
        if failures:
            raise failures.pop()
        return "done"

    @flow
    async def work() -> str:
        return await fetch()

    assert await work() == "done"
    assert recorder.states_of("fetch") == ["Pending", "Running", "AwaitingRetry", "Retrying", "Completed"]


async def test_a_cancelled_asyncio_task_is_a_crash_that_says_so(recorder: MemoryRecorder) -> None:
    started = asyncio.Event()

    @flow
    async def work() -> None:
        started.set()
        await asyncio.sleep(60)

    running = asyncio.create_task(work())
    await started.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert recorder.flow_states[-1][1].message == "The run's asyncio task was cancelled."
