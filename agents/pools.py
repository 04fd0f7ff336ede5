"""Work pools and queues: how they are made, polled by Prefect workers, and deleted without losing a run."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Q
from django.db.models.functions import Now

from agents.claimable import IN_ORDER, LIVE_AND_SHUT, MISSED, PLANNED, ROOM, claimable
from agents.models import Worker, WorkPool, WorkQueue
from agents.models.work_pool import DEFAULT_POOL
from agents.models.work_queue import DEFAULT_QUEUE
from flows.models import Deployment
from flows.unhurried import unhurried
from runs.models import FlowRun
from runs.models.flow_run import TERMINAL, StateType

BATCH = 10_000
MOST_POLLED = 200


class InUseError(ValueError):
    """A queue or pool cannot be deleted as it stands. The text says what needs it."""


def make_pool(pool: WorkPool) -> WorkPool:
    """Save a new pool, with its default queue."""
    with transaction.atomic():
        pool.save()
        default_queue(pool)
    return pool


def default_queue(pool: WorkPool) -> WorkQueue:
    """The queue of those that name none, made if it is missing."""
    return WorkQueue.objects.get_or_create(work_pool=pool, name=DEFAULT_QUEUE)[0]


def delete_queue(queue: WorkQueue, *, force: bool = False) -> None:
    """Delete a queue. What needs it moves to the default queue of its pool, if `force`.

    Raises InUseError: for the default queue, and without `force` if runs or deployments need the queue. A
    queue of Prefect's needs no `force`: their clients have asked before.
    """
    force = force or queue.work_pool.type == WorkPool.Type.PREFECT
    if queue.name == DEFAULT_QUEUE:
        raise InUseError("The default queue of a pool cannot be deleted: pause it, or delete the pool.")
    _refuse_if_needed([queue.id], f"Queue '{queue.name}'", force)
    _move([queue.id], default_queue(queue.work_pool))
    queue.delete()


def delete_pool(pool: WorkPool, *, force: bool = False) -> None:
    """Delete a pool and its queues. What needs them moves to the workspace's default pool, if `force`.

    Raises InUseError: for the default pool, and without `force` if runs or deployments need its queues. A
    pool of Prefect's needs no `force`: their clients have asked before. What needs it is left without a
    queue, because agents cannot run it.
    """
    is_prefect = pool.type == WorkPool.Type.PREFECT
    if pool.name == DEFAULT_POOL:
        raise InUseError("The default pool of a workspace cannot be deleted: pause it.")
    queue_ids = list(pool.queues.values_list("id", flat=True))
    _refuse_if_needed(queue_ids, f"Pool '{pool.name}'", force or is_prefect)
    _move(queue_ids, None if is_prefect else _home_of(pool))
    pool.delete()


def _home_of(pool: WorkPool) -> WorkQueue:
    home, _ = WorkPool.objects.get_or_create(workspace=pool.workspace, name=DEFAULT_POOL)
    return default_queue(home)


def _refuse_if_needed(queue_ids: Sequence[UUID], what: str, force: bool) -> None:
    if force:
        return
    runs = FlowRun.objects.filter(work_queue__in=queue_ids).exclude(state_type__in=TERMINAL)
    waiting = runs.filter(state_type=StateType.SCHEDULED).count()
    others = runs.exclude(state_type=StateType.SCHEDULED).count()
    deployments = Deployment.objects.filter(work_queue__in=queue_ids).count()
    if waiting or others or deployments:
        raise InUseError(
            f"{what} is needed by {waiting} waiting and {others} other open runs and by {deployments} "
            "deployments. Delete it with force, and they move to the default queue."
        )


def _move(queue_ids: Sequence[UUID], home: WorkQueue | None) -> None:
    """Move what still needs the queues; what is over forgets its queue, in batches."""
    with unhurried():
        WorkQueue.objects.filter(id__in=queue_ids).update(paused=True, updated=Now())
        Deployment.objects.filter(work_queue__in=queue_ids).update(work_queue=home, updated=Now())
        open_runs = FlowRun.objects.filter(work_queue__in=queue_ids).exclude(state_type__in=TERMINAL)
        open_runs.update(work_queue=home)
    over = FlowRun.objects.filter(work_queue__in=queue_ids).values("id")[:BATCH]
    while FlowRun.objects.filter(id__in=list(over.values_list("id", flat=True))).update(work_queue=None):
        pass


# The process of such a run is there, and waits until it may try again.
RETRIED_IN_PROCESS = """(
    r.state_name = 'AwaitingRetry' AND EXISTS (
        SELECT FROM runs_flowrunstate s
        WHERE s.id = r.state_id AND s.state_details @> '{"retry_in_process": true}'))
"""
# What is left of each limit caps the answer: runs that are handed out are not claimed yet.
POLL = f"""
WITH {LIVE_AND_SHUT}
SELECT next.id, q.id
FROM agents_workqueue q
JOIN agents_workpool p ON p.id = q.work_pool_id
CROSS JOIN LATERAL (
    SELECT r.id, {IN_ORDER} AS place {claimable("%(before)s")} AND NOT {RETRIED_IN_PROCESS}
    ORDER BY place
    LIMIT least(%(limit)s, q.concurrency_limit
        - coalesce((SELECT sum(live.runs) FROM live WHERE live.work_queue_id = q.id), 0))
) next
WHERE p.id = %(pool)s AND q.id = ANY(%(queues)s)
  AND NOT p.paused AND NOT q.paused AND p.type = 'prefect' AND {ROOM}
ORDER BY q.priority, next.place
LIMIT (SELECT least(%(limit)s, pool.concurrency_limit - coalesce(
    (SELECT sum(live.runs) FROM live JOIN agents_workqueue own ON own.id = live.work_queue_id
     WHERE own.work_pool_id = pool.id), 0)) FROM agents_workpool pool WHERE pool.id = %(pool)s)
"""
ALWAYS = datetime.fromisoformat("2999-01-01T00:00:00+00:00")


def poll(
    pool: WorkPool, queues: Sequence[WorkQueue], before: datetime | None, limit: int | None = None
) -> list[tuple[UUID, UUID]]:
    """The runs of a Prefect pool that may start, as (run, queue): by queue priority, then in their order.

    `before` None: also those of the future. Handing out takes nothing: whoever proposes PENDING first
    has the run. Notes that the queues are polled.
    """
    queue_ids = [queue.id for queue in queues]
    WorkQueue.objects.filter(id__in=queue_ids).update(last_polled=Now())
    values: dict[str, Any] = {
        "pool": pool.id,
        "queues": queue_ids,
        "before": before or ALWAYS,
        "limit": limit or MOST_POLLED,
    }
    with connection.cursor() as cursor:
        cursor.execute(POLL, values)
        return [(run_id, queue_id) for run_id, queue_id in cursor.fetchall()]


def is_for_prefect(deployment: Deployment) -> bool:
    """Whether Prefect's own processes execute the deployment: workers that poll its pool, or, without a
    queue, one that serves it."""
    queue = deployment.work_queue
    return queue is None or queue.work_pool.type == WorkPool.Type.PREFECT


def same_side(deployment: Deployment) -> Q:
    """Of queues: those to which the deployment may move. What runs it now could not load other code."""
    of_prefect = Q(work_pool__type=WorkPool.Type.PREFECT)
    return of_prefect if is_for_prefect(deployment) else ~of_prefect


def check_type(pool: WorkPool, type: str) -> None:
    """Raises InUseError if the new type would hand deployments from Prefect's workers to agents, or back."""
    changes_sides = (pool.type == WorkPool.Type.PREFECT) != (type == WorkPool.Type.PREFECT)
    if changes_sides and Deployment.objects.filter(work_queue__work_pool=pool).exists():
        raise InUseError(
            "Deployments use this pool, and what runs them now runs other code: agents cannot run Prefect's, "
            "nor its workers Portal's. Make another pool, and deploy to that one."
        )


FOR_PREFECT = Q(work_queue=None) | Q(work_queue__work_pool__type=WorkPool.Type.PREFECT)
POLL_SERVED = f"""
WITH {PLANNED}
SELECT r.id
FROM runs_flowrun r
LEFT JOIN agents_workqueue q ON q.id = r.work_queue_id
LEFT JOIN agents_workpool p ON p.id = q.work_pool_id
WHERE r.deployment_id = ANY(%(deployments)s) AND r.state_type = 'SCHEDULED' AND NOT r.leased
  AND r.expected_start_time <= %(before)s
  AND (q.id IS NULL OR (p.type = 'prefect' AND NOT p.paused AND NOT q.paused))
  AND NOT {RETRIED_IN_PROCESS} AND NOT {MISSED}
ORDER BY r.expected_start_time, r.id
LIMIT %(limit)s
"""


def poll_served(deployment_ids: Sequence[UUID], before: datetime | None, limit: int | None) -> list[UUID]:
    """The runs of these deployments that the Prefect process which serves them may start, the earliest first.

    `before` None: also those of the future. Takes nothing, as `poll`. Notes that they are polled.
    """
    served = Deployment.objects.filter(FOR_PREFECT, id__in=deployment_ids)
    served.update(last_polled=Now())
    values: dict[str, Any] = {
        "deployments": list(served.filter(paused=False).values_list("id", flat=True)),
        "before": before or ALWAYS,
        "limit": limit or MOST_POLLED,
    }
    with connection.cursor() as cursor:
        cursor.execute(POLL_SERVED, values)
        return [run_id for (run_id,) in cursor.fetchall()]


def note_heartbeat(pool: WorkPool, name: str, interval_seconds: float) -> None:
    """Note that a Prefect worker is there; the first time makes its row."""
    values = {"heartbeat_interval_seconds": interval_seconds, "last_heartbeat_time": Now()}
    Worker.objects.update_or_create(work_pool=pool, name=name, defaults=values)
