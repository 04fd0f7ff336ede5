"""Tasks for the background, and a process that serves them."""

import os
import threading
import time
from pathlib import Path

from flows import get_run_logger, task
from flows.task_worker import serve

LOCK = threading.Lock()  # cannot be packed: only who serves `locked` can run it


@task
def add(one: int, other: int = 0) -> tuple[int, int]:
    get_run_logger().info("adding %d", one)
    return one + other, os.getpid()


@task
async def add_async(one: int, other: int) -> int:
    return one + other


@task
def fail(text: str) -> None:
    raise ValueError(text)


@task(retries=2)
def fail_twice(folder: str) -> str:
    file = Path(folder) / "tries"
    tries = file.read_text() if file.exists() else ""
    file.write_text(tries + "x")
    if len(tries) < 2:
        raise RuntimeError("not yet")
    return tries + "x"


@task
def hold(folder: str) -> int:
    """Ends when the file `go` is there; says who is at it."""
    with (Path(folder) / "holders").open("a") as file:
        file.write(f"{os.getpid()}\n")
    while not (Path(folder) / "go").exists():
        time.sleep(0.02)
    return os.getpid()


@task
def die(folder: str) -> None:
    with (Path(folder) / "deaths").open("a") as file:
        file.write("x")
    os._exit(1)


@task
def locked() -> int:
    with LOCK:
        return os.getpid()


if __name__ == "__main__":
    serve(add, add_async, fail, hold, locked, limit=2)
