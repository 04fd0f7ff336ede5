"""A script whose flows report to Portal: `python script.py FLOW FOLDER`. Files in FOLDER pace it."""

import os
import sys
import time
from pathlib import Path

from flows import flow, get_run_logger, task
from flows.artifacts import create_table_artifact

folder = Path(sys.argv[2])


def pause_until(name: str) -> None:
    while not (folder / name).exists():
        time.sleep(0.02)


@task(retries=1)
def double(number: int) -> int:
    get_run_logger().info("doubling %d", number)
    return number * 2


@flow
def total(numbers: list[int]) -> int:
    return sum(double.map(numbers).result())


def note(flow, flow_run, state) -> None:
    get_run_logger().info("noted by a hook")


@flow(on_completion=[note])
def report(size: int = 3) -> int:
    """A subflow, tasks, logs and an artifact."""
    result = total(list(range(size)))
    create_table_artifact([{"total": result}], key="totals")
    return result


@flow
def two_halves() -> None:
    """Works, waits until the test says go, and works on."""
    for number in range(20):
        double(number)
    (folder / "half").write_text(str(os.getpid()))
    for number in range(20):
        double(number)
        time.sleep(0.01)
    pause_until("go")
    for number in range(20):
        double(number)


@flow
def hold() -> None:
    (folder / "half").write_text(str(os.getpid()))
    time.sleep(600)


@flow
def broken() -> None:
    raise ValueError("no such year")


if __name__ == "__main__":
    print("result:", globals()[sys.argv[1]]())
