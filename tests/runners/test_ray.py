"""Tasks on a Ray cluster on this machine."""

import os
import signal
import time
from collections.abc import Iterator

import pytest

from flows import flow, get_run_logger, task
from flows.sdk.errands import ProcessLost
from flows.sdk.memory import MemoryRecorder
from flows.sdk.timeouts import TaskRunTimeoutError
from flows.task_runners import RayTaskRunner

ray = pytest.importorskip("ray")

OPTIONS = {"num_cpus": 2, "include_dashboard": False, "_node_ip_address": "127.0.0.1", "log_to_driver": False}


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """One cluster for the module; runners use what the process is connected to."""
    ray.init(**OPTIONS)
    yield
    ray.shutdown()


@task
def add(a: int, b: int = 1) -> int:
    get_run_logger().info("adding %d", a)
    return a + b


def test_tasks_run_on_the_cluster_with_states_edges_and_logs(recorder: MemoryRecorder) -> None:
    process = task(os.getpid, name="process")

    @flow(task_runner=RayTaskRunner())
    def work() -> tuple[list[int], int]:
        return add.map(add.map([1, 2]), b=[add.submit(10)] * 2).result(), process.submit().result()

    numbers, pid = work()
    assert numbers == [13, 14]
    assert pid != os.getpid()
    last = [event for event in recorder.task_events if event.task_key == "add"][-1]
    assert last.task_inputs.keys() == {"a", "b"}
    assert "adding 10" in [line.message for line in recorder.logs]
    assert ray.is_initialized()


def test_a_failure_is_raised_and_a_lost_worker_is_a_crash() -> None:
    die = task(lambda: os.kill(os.getpid(), signal.SIGKILL), name="die")
    fail = task(lambda: 1 // 0, name="fail")

    @flow(task_runner=RayTaskRunner())
    def work() -> str:
        dead = die.submit()
        with pytest.raises(ProcessLost, match="The Ray cluster lost the task run"):
            dead.result()
        with pytest.raises(ZeroDivisionError):
            fail.submit().result()
        return dead.state.name

    assert work() == "Crashed"


def test_a_timeout_ends_the_task_run() -> None:
    hold = task(timeout_seconds=0.5, name="hold")(lambda: time.sleep(30))
    with pytest.raises(TaskRunTimeoutError):
        flow(lambda: hold.submit().result(), name="work", task_runner=RayTaskRunner())()
