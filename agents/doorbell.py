"""The doorbell: rings in Redis that wake agents.

A ring is an RQ job in the list `portal:<workspace>:<pool>:<queue>`. It carries no run: the agent
that answers claims the best due run of all its queues. Losing, doubling or forging one changes nothing.
Its id says that it is one, so that nobody has to read it.
"""

from collections.abc import Sequence
from functools import lru_cache
from uuid import UUID, uuid4

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry
from rq import Queue
from rq.job import Job
from rq.queue import EnqueueData
from rq.serializers import JSONSerializer

from agents.models import WorkQueue

RING = "agents.doorbell.ring_answered"
RING_ID = "portal-ring-"
# What Redis keeps of a ring whose agent was killed before it could delete that. The ring itself stays.
RING_SECONDS = 3600


def ring_answered() -> None:
    """The function named in a ring. Agents answer rings themselves and never call it."""


def connect(timeout: float, retries: int = 0) -> "redis.Redis":
    """A Redis client that waits `timeout` seconds for an answer and repeats a command `retries` times.

    A connection of it is cheap to open, as a horse opens one before user code runs: RESP2 needs no
    greeting, and without `driver_info` redis-py neither looks up its own version nor tells it.
    """
    return redis.Redis.from_url(
        settings.REDIS_URL,
        protocol=2,
        driver_info=None,
        socket_timeout=timeout,
        socket_connect_timeout=2,
        retry=Retry(NoBackoff(), retries),
    )


@lru_cache(maxsize=1)
def connection() -> "redis.Redis":
    """This process's kept connection for hints (a pool that a fork may inherit safely).

    It repeats a command once, for a connection that Redis closed meanwhile, and gives up early:
    whoever sends a hint must not wait long for a Redis that hangs.
    """
    return connect(timeout=1, retries=1)


def list_name(workspace: str, pool: str, queue: str) -> str:
    """The RQ queue name of a work queue."""
    return f"portal:{workspace}:{pool}:{queue}"


@lru_cache(maxsize=1024)
def rq_queue(queue_id: UUID) -> Queue:
    """The RQ queue that rings for this work queue. Names are cached: they never change."""
    queue = WorkQueue.objects.select_related("work_pool__workspace").get(id=queue_id)
    pool = queue.work_pool
    return Queue(
        list_name(pool.workspace.name, pool.name, queue.name),
        connection=connection(),
        serializer=JSONSerializer,
    )


def ring(queue_id: UUID) -> None:
    """Wake one agent of this queue. Raises redis.RedisError when Redis is away."""
    ring_times(queue_id, 1)


def ring_times(queue_id: UUID, count: int) -> None:
    """Wake so many agents of this queue, in one round trip. Raises redis.RedisError when Redis is away."""
    rq_queue(queue_id).enqueue_many(_ring() for _ in range(count))


def _ring() -> EnqueueData:
    job_id = f"{RING_ID}{uuid4().hex}"
    return Queue.prepare_data(RING, job_id=job_id, ttl=RING_SECONDS, timeout=-1, result_ttl=0, failure_ttl=60)


def is_ring(job_id: str) -> bool:
    """Whether the job of this id only wakes agents."""
    return job_id.startswith(RING_ID)


def forget(client: "redis.Redis", rings: Sequence[str]) -> None:
    """Delete what Redis keeps of rings that were answered. Raises redis.RedisError."""
    client.delete(*map(Job.key_for, rings))
