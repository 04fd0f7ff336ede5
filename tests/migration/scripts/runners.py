"""Task runners, tasks in tasks, tasks outside flows."""

import threading

from prefect import flow, task
from prefect.task_runners import ThreadPoolTaskRunner


@task
def where() -> str:
    return threading.current_thread().name


@task
def inner(number: int) -> int:
    return number + 1


@task
def outer(number: int) -> int:
    return inner(number) * 2


@flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
def pool() -> tuple:
    threads = {future.result() for future in [where.submit() for _ in range(10)]}
    return len(threads) <= 2, outer(1), [future.result() for future in outer.map([1, 2])]


if __name__ == "__main__":
    print(pool())
    print(outer(10), inner.fn(1))

# Prints:
# (True, 4, [4, 6])
# 22 2
