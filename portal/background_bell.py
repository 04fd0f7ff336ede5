"""The bell of task workers: wakes those that wait for a background task of their workspace.

It is a hint, as all of Redis is here: a worker that missed it asks again some seconds later.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from threading import BoundedSemaphore
from time import monotonic
from uuid import UUID

from django.conf import settings
from redis.client import PubSub
from redis.exceptions import RedisError

from agents import doorbell

logger = logging.getLogger(__name__)

# Each that waits holds a thread of the server, and a connection to Redis.
MOST_WAITING = 200
_seats = BoundedSemaphore(MOST_WAITING)


class TooManyError(Exception):
    """So many wait for the bell of this server already that one more has to ask by the clock."""


@contextmanager
def _seat() -> Iterator[None]:
    if not _seats.acquire(blocking=False):
        raise TooManyError
    try:
        yield
    finally:
        _seats.release()


def _channel(workspace_id: UUID) -> str:
    return f"{settings.CHANNEL_PREFIX}:background:{workspace_id}"


def ring(workspace_id: UUID) -> None:
    """Say that there is a task. Never raises: the task is stored already."""
    try:
        doorbell.connection().publish(_channel(workspace_id), b"")
    except RedisError as error:
        logger.warning("Task workers were not woken: %s", error)


def heard(workspace_id: UUID, seconds: float, is_there_one: Callable[[], bool]) -> bool:
    """Wait for the bell; whether there may be a task. What came before is asked of `is_there_one`, once.

    Raises RedisError, TooManyError.
    """
    deadline = monotonic() + seconds
    with (
        _seat(),
        closing(doorbell.connect(timeout=seconds + 2)) as redis,
        PubSub(redis.connection_pool) as line,
    ):
        line.subscribe(_channel(workspace_id))
        line.get_message(timeout=1)  # the subscription holds: from here on nothing is missed
        if is_there_one():
            return True
        while (left := deadline - monotonic()) > 0:
            message = line.get_message(timeout=left)
            if message is not None and message["type"] == "message":
                return True
    return False
