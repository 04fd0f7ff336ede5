"""Flows whose tasks run in agents, as an agent finds them."""

import os
import time
from pathlib import Path

from flows import flow, get_run_logger, task
from flows.artifacts import create_markdown_artifact
from flows.task_runners import AgentsTaskRunner
from flows.variables import Variable


@task
def double(number: int) -> tuple[int, int]:
    get_run_logger().info("doubling %d", number)
    return 2 * number, os.getppid()


@task
def inner(number: int) -> int:
    return -number


@flow
def negated(number: int) -> int:
    return inner(number)


@task
def report(number: int) -> int:
    create_markdown_artifact(f"# {number}", key="report")
    Variable.set("reported", number)
    return negated(number) + inner(number)


@flow(task_runner=AgentsTaskRunner(local_after=None))
def spread(folder: str) -> None:
    results = double.map(range(20)).result()
    assert [number for number, _ in results] == [2 * number for number in range(20)]
    assert os.getppid() not in {agent for _, agent in results}
    assert report.submit(3).result() == -6


@flow(task_runner=AgentsTaskRunner(local_after=0.2))
def alone(folder: str) -> None:
    assert [number for number, _ in double.map([1, 2, 3]).result()] == [2, 4, 6]


@task
def hold(folder: str, number: int) -> int:
    (Path(folder) / f"held-{number}").write_text(str(os.getpid()))
    time.sleep(60)
    return number


@flow(task_runner=AgentsTaskRunner(local_after=None))
def holding(folder: str) -> None:
    hold.map(folder, [1, 2]).result()


@task(retries=2)
def hold_once(folder: str, number: int) -> int:
    file = Path(folder) / f"held-{number}"
    if number == 1 and not file.exists():
        file.write_text(str(os.getpid()))
        time.sleep(60)
    return number


@flow(task_runner=AgentsTaskRunner(local_after=None))
def surviving(folder: str) -> None:
    assert hold_once.map(folder, range(10)).result() == list(range(10))


@task
def die() -> None:
    os._exit(0)


@task(timeout_seconds=0.5)
def dawdle(folder: str) -> None:
    (Path(folder) / "held-0").write_text(str(os.getpid()))
    time.sleep(60)


@task
def swell(size: int) -> bytes:
    return b"x" * size


@flow(task_runner=AgentsTaskRunner(local_after=None))
def failing(folder: str) -> dict[str, str]:
    futures = {
        "died": die.submit(),
        "dawdled": dawdle.submit(folder),
        "swollen": swell.submit(17 * 2**20),
    }
    for future in futures.values():
        future.wait()
    text = "\n".join(
        f"{name}: {future.state.name}: {future.state.message}" for name, future in futures.items()
    )
    (Path(folder) / "ends").write_text(text)
    return {}


@task
def sleep_a_little(number: int) -> int:
    time.sleep(0.1)
    return number


@flow(task_runner=AgentsTaskRunner(local_after=None))
def lasting(folder: str) -> None:
    assert sleep_a_little.map(range(60)).result() == list(range(60))


@flow(task_runner=AgentsTaskRunner(queue="acme/default/default"))
def trespassing(folder: str) -> None:
    double.submit(1).result()
