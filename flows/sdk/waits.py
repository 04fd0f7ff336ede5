"""Who waits for whom among task runs: a circle of them would wait for ever.

Such a circle takes code that gets at a future of its own, as through a list that is filled later. The wait
that would close the circle raises instead, so that its task run fails, and the others with it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING
from uuid import UUID

from flows.sdk.context import current_task

if TYPE_CHECKING:
    from flows.sdk.task_run import TaskRun


class CircularWaitError(RuntimeError):
    """Task runs wait for each other in a circle."""


_awaited: "dict[UUID, TaskRun]" = {}  # task run that waits -> the one that it waits for
_lock = Lock()


@contextmanager
def waiting_for(run: "TaskRun") -> Iterator[None]:
    """Note, for the time of the block, that the surrounding task run waits for `run`.

    Raises CircularWaitError if `run` waits, directly or not, for the surrounding one.
    """
    waiter = current_task.get()
    if waiter is None:
        yield
        return
    with _lock:  # of two waits that close a circle together, the second must see the first
        _check(waiter.id, waiter.name, run)
        _awaited[waiter.id] = run
    try:
        yield
    finally:
        _awaited.pop(waiter.id, None)


def _check(waiter: UUID, name: str, run: "TaskRun") -> None:
    circle, link = [name], run
    while True:
        circle.append(link.name)
        if link.id == waiter:
            raise CircularWaitError(f"These task runs wait for each other: {' -> '.join(circle)}.")
        if link.id not in _awaited:
            return
        link = _awaited[link.id]
