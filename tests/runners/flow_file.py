"""Flows whose tasks run in other processes, as an agent finds them."""

import os
import time
from pathlib import Path

from flows import flow, get_run_logger, task
from flows.task_runners import DaskTaskRunner, ProcessPoolTaskRunner


class Point:
    """A class of the file's own: both processes must agree on it."""

    def __init__(self, x: int) -> None:
        self.x = x


def doubled(point: Point) -> Point:
    return Point(point.x * 2)


@task
def double(point: Point) -> Point:
    get_run_logger().info("doubling %d in process %d", point.x, os.getpid())
    return doubled(point)


@flow
def negated(x: int) -> int:
    return -x


@task
def negate(x: int) -> int:
    return negated(x)


@task
def hold(folder: str) -> None:
    (Path(folder) / "held").write_text(str(os.getpid()))
    time.sleep(60)


@flow(task_runner=ProcessPoolTaskRunner(max_workers=2))
def in_processes(folder: str) -> None:
    points = double.map([Point(1), Point(2)]).result()
    assert all(isinstance(point, Point) for point in points)
    assert [point.x for point in points] == [2, 4]
    assert negate.submit(3).result() == -3


@flow(task_runner=DaskTaskRunner(cluster_kwargs={"n_workers": 1, "dashboard_address": "127.0.0.1:0"}))
def on_dask(folder: str) -> None:
    assert [point.x for point in double.map([Point(1), Point(2)]).result()] == [2, 4]


@flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
def holding(folder: str) -> None:
    hold.submit(folder).result()
