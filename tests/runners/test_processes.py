"""Tasks in processes of this machine."""

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flows import flow, get_run_logger, runtime, tags, task
from flows.artifacts import create_table_artifact
from flows.deployments import run_deployment
from flows.events import emit_event
from flows.sdk.backend import AlreadyThereError, backed_by
from flows.sdk.client import PortalApiError
from flows.sdk.errands import ProcessLost
from flows.sdk.memory import MemoryRecorder
from flows.sdk.memory_backend import memory_backend
from flows.sdk.timeouts import FlowRunTimeoutError, TaskRunTimeoutError
from flows.task_runners import ProcessPoolTaskRunner
from flows.variables import Variable
from tests.faults.conftest import is_alive
from tests.processes import PATIENCE, wait_until

two_processes = ProcessPoolTaskRunner(max_workers=2)


@task
def add(a: int, b: int = 1) -> int:
    return a + b


@task
def process() -> int:
    return os.getpid()


def test_tasks_run_in_other_processes_and_share_them() -> None:
    @flow(task_runner=two_processes)
    def work() -> set[int]:
        return {process.submit().result() for _ in range(5)}

    pids = work()
    assert len(pids) <= 2
    assert os.getpid() not in pids
    assert not any(is_alive(pid) for pid in pids)


def test_processes_are_real_and_at_once(tmp_path: Path) -> None:
    @task
    def meet(mine: str, other: str) -> bool:
        (tmp_path / mine).touch()
        wait_until((tmp_path / other).exists)
        return True

    @flow(task_runner=two_processes)
    def work() -> bool:
        return all(meet.map(["a", "b"], ["b", "a"]).result())

    assert work()


def test_states_results_and_edges_are_those_of_any_runner(recorder: MemoryRecorder) -> None:
    @flow(task_runner=two_processes)
    def work() -> list[int]:
        return add.map(add.map([1, 2]), b=[add.submit(10)] * 2).result()

    assert work() == [13, 14]
    assert [name for name in recorder.states_of("add") if name == "Completed"] == ["Completed"] * 5
    assert recorder.task_events[-1].task_inputs.keys() == {"a", "b"}


def test_async_tasks_generators_and_methods_run_there() -> None:
    class Shop:
        factor = 3

        @task
        def price(self, number: int) -> int:
            return self.factor * number

    @task
    async def slowly() -> int:
        await asyncio.sleep(0)
        return os.getpid()

    @task
    def count() -> Iterator[int]:
        yield from range(3)

    @flow(task_runner=two_processes)
    def work() -> tuple[int, list[int], bool]:
        price, items, pid = Shop().price.submit(2), count.submit(), slowly.submit()
        return price.result(), items.result(), pid.result() != os.getpid()

    assert work() == (6, [0, 1, 2], True)


def test_the_task_knows_its_runs_and_logs_for_them(recorder: MemoryRecorder) -> None:
    @task(tags=["own"], log_prints=True)
    def tell() -> list[object]:
        get_run_logger().info("from the logger")
        print("from print")
        create_table_artifact([{"a": 1}])
        run, mine = runtime.flow_run, runtime.task_run
        return [run.flow_name, run.parameters, run.run_count, mine.name, sorted(mine.tags), mine.run_count]

    @flow(name="named", task_runner=two_processes)
    def work(number: int) -> list[object]:
        with tags("around"):
            return tell.submit().result()

    assert work(4) == ["named", {"number": 4}, 1, "tell-0", ["around", "own"], 1]
    lines = [line for line in recorder.logs if line.message.startswith("from ")]
    assert [line.message for line in lines] == ["from the logger", "from print"]
    assert {line.task_run_id for line in lines} == {recorder.task_events[0].task_run_id}
    assert recorder.artifacts[0].task_run_id == lines[0].task_run_id


def test_tasks_and_subflows_inside_the_task_are_recorded(recorder: MemoryRecorder) -> None:
    @flow
    def child(number: int) -> int:
        return number + 1

    @task
    def outer() -> int:
        return add.submit(add(1)).result() + child(1)

    @flow(task_runner=two_processes)
    def work() -> list[int]:
        return [future.result() for future in [outer.submit(), outer.submit()]]

    assert work() == [5, 5]
    done = {event.dynamic_key for event in recorder.task_events if event.task_key == "add"}
    assert len(done) == 4
    assert sorted(recorder.states_of("child")) == ["Completed", "Completed", "Running", "Running"]


def test_a_failure_is_retried_and_tells_where_it_was(recorder: MemoryRecorder) -> None:
    @task(retries=1)
    def fail() -> None:
        raise ValueError("broken")

    @flow(task_runner=two_processes)
    def work() -> None:
        fail.submit().result()

    with pytest.raises(ValueError, match="broken"):
        work()
    assert recorder.states_of("fail") == ["Pending", "Running", "AwaitingRetry", "Retrying", "Failed"]
    text = next(line.message for line in recorder.logs if "Retries are exhausted" in line.message)
    assert 'raise ValueError("broken")' in text


def test_a_task_whose_process_dies_is_crashed_and_the_others_go_on() -> None:
    die = task(lambda: os.kill(os.getpid(), signal.SIGKILL), name="die")

    @flow(task_runner=two_processes)
    def work() -> tuple[str, int]:
        dead = die.submit()
        dead.wait()
        with pytest.raises(ProcessLost):
            dead.result()
        return str(dead.state), add.submit(1).result()

    assert work() == ("Crashed('The process of the task run was killed by SIGKILL.')", 2)


def test_a_lost_process_is_replaced_for_the_next_try(tmp_path: Path) -> None:
    @task(retries=1)
    def die_once() -> str:
        if not (tmp_path / "tried").exists():
            (tmp_path / "tried").touch()
            os._exit(3)
        return "done"

    assert flow(lambda: die_once.submit().result(), name="work", task_runner=two_processes)() == "done"


def test_sys_exit_in_a_task_crashes_it_and_not_its_process() -> None:
    leave = task(lambda: sys.exit(3), name="leave")

    @flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
    def work() -> tuple[str, bool]:
        before = process.submit().result()
        state = leave.submit(return_state=True)
        return state.message, process.submit().result() == before

    assert work() == ("The run called sys.exit(3).", True)


def test_a_timeout_ends_code_that_cannot_be_interrupted() -> None:
    @task(timeout_seconds=0.2)
    def busy() -> int:
        return sum(range(10**11))  # one call into C

    @flow(task_runner=two_processes)
    def work() -> None:
        busy.submit().result()

    start = time.monotonic()
    with pytest.raises(TaskRunTimeoutError):
        work()
    assert time.monotonic() - start < PATIENCE


def test_what_cannot_be_sent_says_so() -> None:
    give = task(lambda value: None, name="give")
    take = task(lambda: threading.Lock(), name="take")

    @flow(task_runner=two_processes)
    def work() -> list[str]:
        sent, returned = give.submit(threading.Lock()), take.submit()
        return [str(future.result(raise_on_failure=False)) for future in (sent, returned)]

    sent, returned = work()
    assert sent.startswith("Task 'give' cannot be sent to another process: ")
    assert returned.startswith("The task's result cannot be sent back from its process: ")


def test_the_initializer_is_called_once_in_each_process() -> None:
    def initialize(value: str) -> None:
        os.environ["STARTED"] = os.environ.get("STARTED", "") + value

    look = task(lambda: os.environ["STARTED"], name="look")
    runner = ProcessPoolTaskRunner(max_workers=1, initializer=initialize, initargs=("yes",))
    work = flow(lambda: [look.submit().result() for _ in range(2)], name="work", task_runner=runner)
    assert work() == ["yes", "yes"]


def test_a_failed_flow_leaves_no_process() -> None:
    pids: list[int] = []

    @flow(task_runner=two_processes)
    def work() -> None:
        pids.append(process.submit().result())
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        work()
    assert not is_alive(pids[0])


def test_max_workers_must_be_positive() -> None:
    with pytest.raises(ValueError, match="max_workers must be at least 1, not 0"):
        ProcessPoolTaskRunner(max_workers=0)


def test_a_flow_whose_time_is_up_ends_its_processes(tmp_path: Path, recorder: MemoryRecorder) -> None:
    @task(retries=1)
    def hold() -> None:
        (tmp_path / "pid").write_text(str(os.getpid()))
        time.sleep(60)

    @flow(task_runner=two_processes, timeout_seconds=6)
    def work() -> None:
        hold.submit().result()

    with pytest.raises(FlowRunTimeoutError):
        work()
    assert not is_alive(int((tmp_path / "pid").read_text()))
    assert recorder.states_of("hold") == ["Pending", "Running", "Cancelled"]


def test_the_start_of_a_process_does_not_count_for_the_timeout() -> None:
    def initialize() -> None:
        time.sleep(3)

    quick = task(name="quick", timeout_seconds=2.5)(lambda: "done")
    runner = ProcessPoolTaskRunner(max_workers=1, initializer=initialize)
    assert flow(lambda: quick.submit().result(), name="work", task_runner=runner)() == "done"


def test_an_initializer_that_fails_crashes_the_task() -> None:
    runner = ProcessPoolTaskRunner(max_workers=1, initializer=sys.exit, initargs=(4,))
    with pytest.raises(ProcessLost, match="ended with exit code 4 before its first one"):
        flow(lambda: add.submit(1).result(), name="work", task_runner=runner)()


def test_variables_are_those_of_the_flow() -> None:
    read = task(lambda: Variable.get("colour"), name="read")
    miss = task(lambda: Variable.set("colour", "blue"), name="miss")

    @flow(task_runner=two_processes)
    def work() -> list[object]:
        Variable.set("colour", "green", overwrite=True)
        return [read.submit().result(), type(miss.submit().result(raise_on_failure=False))]

    assert work() == ["green", AlreadyThereError]


class HeardBy:
    """An API that remembers what it is sent."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    def get(self, path: str, **query: Any) -> Any:
        raise PortalApiError(404, f"there is no {path}")

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        self.paths.append(path)
        return {}


def test_tasks_reach_the_portal_of_the_flow() -> None:
    say = task(lambda: emit_event("order.paid", {"prefect.resource.id": "order.1"}), name="say")
    start = task(lambda: run_deployment("missing/prod"), name="start")

    @flow(task_runner=two_processes)
    def work() -> BaseException:
        say.submit().result()
        error: BaseException = start.submit().result(raise_on_failure=False)
        return error

    api = HeardBy()
    with backed_by(replace(memory_backend(), url="http://portal.example", portal=api)):
        error = work()

    assert api.paths == ["events/"]
    assert isinstance(error, PortalApiError) and error.status == 404
