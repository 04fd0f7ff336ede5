"""Tasks on a Dask cluster of several processes on this machine."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from flows import flow, get_run_logger, runtime, task
from flows.sdk.cluster_runners import MissingExtraError
from flows.sdk.errands import ProcessLost
from flows.sdk.memory import MemoryRecorder
from flows.sdk.timeouts import TaskRunTimeoutError
from flows.task_runners import DaskTaskRunner

distributed = pytest.importorskip("distributed")

OPTIONS = {"n_workers": 2, "threads_per_worker": 2, "processes": True, "dashboard_address": "127.0.0.1:0"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[object]:
    import dask

    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        distributed.LocalCluster(**OPTIONS) as cluster,
    ):
        yield cluster


@task
def add(a: int, b: int = 1) -> int:
    return a + b


@task
def process() -> int:
    return os.getpid()


def test_tasks_run_on_the_cluster_with_states_and_edges(cluster: Any, recorder: MemoryRecorder) -> None:
    @flow(task_runner=DaskTaskRunner(cluster=cluster))
    def work() -> tuple[list[int], int]:
        return add.map(add.map([1, 2]), b=[add.submit(10)] * 2).result(), process.submit().result()

    numbers, pid = work()
    assert numbers == [13, 14]
    assert pid != os.getpid()
    assert recorder.states_of("process") == ["Pending", "Running", "Completed"]
    last = [event for event in recorder.task_events if event.task_key == "add"][-1]
    assert last.task_inputs.keys() == {"a", "b"}


def test_a_running_cluster_is_found_by_its_address(cluster: Any) -> None:
    runner = DaskTaskRunner(address=cluster.scheduler_address)
    assert flow(lambda: add.submit(1).result(), name="work", task_runner=runner)() == 2


def test_a_cluster_is_made_for_the_flow_run_and_closed_after_it() -> None:
    runner = DaskTaskRunner(cluster_class="distributed.LocalCluster", cluster_kwargs=OPTIONS)
    pid = flow(lambda: process.submit().result(), name="work", task_runner=runner)()
    assert pid != os.getpid()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_logs_and_tasks_inside_the_task_come_back(cluster: Any, recorder: MemoryRecorder) -> None:
    @task
    def outer() -> int:
        get_run_logger().info("in %s", runtime.task_run.name)
        return add(add.submit(1).result())

    @flow(task_runner=DaskTaskRunner(cluster=cluster))
    def work() -> int:
        return outer.submit().result()

    assert work() == 3
    assert "in outer-0" in [line.message for line in recorder.logs]
    assert len({event.task_run_id for event in recorder.task_events}) == 3


def test_a_flow_inside_the_task_is_refused(cluster: Any) -> None:
    child = flow(lambda: None, name="child")
    outer = task(lambda: child(), name="outer")
    work = flow(lambda: outer.submit().result(), name="work", task_runner=DaskTaskRunner(cluster=cluster))
    with pytest.raises(RuntimeError, match="Flow 'child' cannot be called here: tasks on a cluster"):
        work()


def test_a_failure_is_retried_and_raised(cluster: Any, recorder: MemoryRecorder) -> None:
    @task(retries=1)
    def fail() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        flow(lambda: fail.submit().result(), name="work", task_runner=DaskTaskRunner(cluster=cluster))()
    assert recorder.states_of("fail") == ["Pending", "Running", "AwaitingRetry", "Retrying", "Failed"]


def test_a_timeout_ends_the_task_run(cluster: Any) -> None:
    @task(timeout_seconds=0.3)
    def hold() -> None:
        time.sleep(3)

    with pytest.raises(TaskRunTimeoutError):
        flow(lambda: hold.submit().result(), name="work", task_runner=DaskTaskRunner(cluster=cluster))()


def test_a_task_whose_worker_dies_is_crashed(cluster: Any) -> None:
    die = task(lambda: os.kill(os.getpid(), signal.SIGKILL), name="die")

    @flow(task_runner=DaskTaskRunner(cluster=cluster))
    def work() -> tuple[str, int]:
        dead = die.submit()
        with pytest.raises(ProcessLost, match="The Dask cluster lost the task run"):
            dead.result()
        return dead.state.name, add.submit(1).result()

    assert work() == ("Crashed", 2)


def test_two_clusters_are_refused() -> None:
    with pytest.raises(ValueError, match="only one of cluster, address and cluster_class"):
        DaskTaskRunner(address="tcp://127.0.0.1:1", cluster_class="distributed.LocalCluster")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingExtraError, match=r'pip install "portal-orchestrator\[dask\]"'):
        flow(lambda: add.submit(1).result(), name="work", task_runner=DaskTaskRunner())()
