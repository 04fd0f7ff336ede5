"""The half of an agent that speaks to Redis: an RQ worker that waits for rings and lets itself be seen.

A ring only wakes it; what there is to do is for its subclass to find out. Whatever happens to Redis, `listen`
returns within seconds. Signals break in while it waits, and at no other time.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

import redis
from django.db import connections
from rq import Queue, Worker, worker_registration
from rq.exceptions import DequeueTimeout, NoSuchJobError, StopRequested
from rq.executions import Execution
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.utils import as_text, now

from agents import doorbell

logger = logging.getLogger(__name__)

REDIS_AWAY_SECONDS = 2.0
PRESENCE_SECONDS = 5.0
WORKER_TTL = 20  # RQ derives from it how long a wait for a ring blocks: 15 s less


class RingListener(Worker):
    """Waits for rings by `listen`, and answers RQ's own jobs as RQ does.

    RQ's own `work` is not used: it stops when Redis is slow, and does not start without it.
    """

    def __init__(self, queue_names: Sequence[str], name: str, drain_seconds: float) -> None:
        """`queue_names` are ring lists. Asked to stop, it finishes what it is at for `drain_seconds`."""
        self._waiting = False
        self._force_stop = False
        self._stop_asked_at = 0.0
        self._drain_seconds = drain_seconds
        self._presence_at = 0.0
        self._answered: list[str] = []
        self._presence = doorbell.connect(timeout=1)
        super().__init__(
            list(queue_names),
            name=name,
            connection=doorbell.connect(timeout=8),
            serializer=JSONSerializer,
            worker_ttl=WORKER_TTL,
            job_monitoring_interval=2,
        )

    # Rings

    def listen(self, blocking: bool) -> bool:
        """Wait for a ring, a few seconds at most; True if one came, or another RQ job was done.

        A ring is dropped: the loop claims next. What Redis keeps of it is deleted before the next wait.
        """
        try:
            self._forget_answered()
            with self._interruptible():
                taken = self._take(self.dequeue_timeout if blocking else None)
            if taken is None:
                return False
            if doorbell.is_ring(taken[1]):
                self._answered.append(taken[1])
                return True
            return self._execute_taken(*taken)
        except redis.RedisError as error:
            logger.warning("Redis does not answer, looking for work without rings: %s", error)
            self._presence_at = 0.0  # it may come back empty
            if blocking:
                self._sleep(REDIS_AWAY_SECONDS)
            return False

    def _forget_answered(self) -> None:
        if self._answered:
            doorbell.forget(self.connection, self._answered)
            self._answered = []

    def _execute_taken(self, key: str, job_id: str) -> bool:
        """Execute a job of RQ's as RQ does; False if it cannot be read."""
        queue = self.queue_class.from_queue_key(key, connection=self.connection, serializer=self.serializer)
        job = self._job(key, job_id)
        if job is not None:
            self.execute_job(job, queue)
        return job is not None

    def execute_job(self, job: Job, queue: Queue) -> None:
        """As RQ does; but when Redis fails, its process is ended."""
        try:
            super().execute_job(job, queue)
        except redis.RedisError:
            if self.horse_pid:  # nobody could record its end: do not leave it running unseen
                self.kill_horse()
                self.wait_for_horse()
                self._horse_pid = 0
            raise

    # Presence

    def beat(self) -> None:
        """Be seen by RQ's own tools. Never raises."""
        moment = time.monotonic()
        if moment < self._presence_at:
            return
        self._presence_at = moment + PRESENCE_SECONDS
        try:
            self._register()
        except redis.RedisError as error:
            logger.debug("Could not beat in Redis: %s", error)

    def _register(self) -> None:
        """Write RQ's whole record of this worker, so that a Redis that lost its data gets it again."""
        self.last_heartbeat = now()
        with self._presence.pipeline(transaction=False) as pipeline:
            pipeline.hset(self.key, mapping={**self.serialize(), "state": self.get_state()})
            worker_registration.register(self, pipeline)
            pipeline.expire(self.key, self.worker_ttl + 60)
            pipeline.execute()

    def _forget_dead_workers(self) -> None:
        """Take workers that were killed off RQ's lists; their own records have expired."""
        try:
            for queue in self.queues:
                worker_registration.clean_worker_registry(queue)
        except redis.RedisError as error:
            logger.debug("Could not clean RQ's lists of workers: %s", error)

    def _unregister(self) -> None:
        try:
            self._forget_answered()
            with self._presence.pipeline(transaction=False) as pipeline:
                worker_registration.unregister(self, pipeline)
                pipeline.delete(self.key)
                pipeline.execute()
        except redis.RedisError as error:
            logger.debug("Could not sign off from Redis: %s", error)

    def maintain_heartbeats(self, job: Job, execution: Execution) -> None:
        """RQ's tick while it watches a job that is not a ring."""
        if self._force_stop:
            self.kill_horse()
        self.beat()
        super().maintain_heartbeats(job, execution)

    # Waiting and signals

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """First signal: finish the run in the drain time, take no other. A later one: hand it back now.

        One that follows within a second is the same wish by another way: a terminal signals the
        whole process group, and so may whoever started us.
        """
        moment = time.monotonic()
        if not self._stop_requested:
            self._stop_requested = True
            self._stop_asked_at = moment
            logger.info(
                "Stopping when the current run is over, or after %g s; a second signal stops at once",
                self._drain_seconds,
            )
        elif moment - self._stop_asked_at > 1:
            self._force_stop = True
        if self._waiting:
            raise StopRequested

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Only while nothing is claimed may a signal break in; otherwise the loop looks at the flag."""
        self._waiting = True
        try:
            if self._stop_requested:
                raise StopRequested
            yield
        finally:
            self._waiting = False

    def _sleep(self, seconds: float) -> None:
        with self._interruptible():
            time.sleep(seconds)

    # RQ's seams

    @property
    def connection_timeout(self) -> int:
        """Seconds after which a wait for a ring counts as a dead connection."""
        return int(self.dequeue_timeout) + 3

    def _set_ip_address(self, connection: "redis.Redis") -> None:
        """RQ asks Redis for it at start; an agent starts without Redis too."""
        self.ip_address = "unknown"

    def _take(self, timeout: int | None) -> tuple[str, str] | None:
        """The list and the id of the next ring or job. BLPOP on all lists: RQ's LMOVE would park rings in a
        second list."""
        try:
            taken = self.queue_class.lpop(self.queue_keys(), timeout, connection=self.connection)
        except DequeueTimeout:
            return None
        return None if taken is None else (as_text(taken[0]), as_text(taken[1]))

    def _job(self, key: str, job_id: str) -> Job | None:
        try:
            return Job.fetch(job_id, connection=self.connection, serializer=self.serializer)
        except NoSuchJobError:
            return None
        except redis.RedisError:
            raise
        except Exception as error:  # whoever can write to Redis must not be able to end agents
            logger.warning("Dropped job %s of %s, which cannot be read: %s", job_id, key, error)
            return None

    def fork_work_horse(self, job: Job, queue: Queue) -> None:
        """RQ's fork, for a job that is not a ring."""
        connections.close_all()
        super().fork_work_horse(job, queue)
