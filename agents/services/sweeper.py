"""The sweeper rings for runs that are due, so that no run depends on a ring's arrival.

Rings that are owed per queue: `min(due runs, agents online that serve it) - rings pending`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection
from rq import Queue

from agents import doorbell
from agents.claimable import LIVE_AND_SHUT, OPEN_QUEUE, claimable
from agents.registry import OFFLINE_AFTER
from agents.services.database import alone

# Counting stops at the number of agents, so the cost does not grow with the backlog.
WANTED = f"""
WITH {LIVE_AND_SHUT}, serving AS (
    SELECT unnest(queues) AS queue_id, count(*) AS agents
    FROM agents_agent WHERE stopped IS NULL AND draining IS NULL AND last_seen > %(seen)s
    GROUP BY 1
)
SELECT q.id, w.name, p.name, q.name, due.runs
FROM serving s
JOIN agents_workqueue q ON q.id = s.queue_id
JOIN agents_workpool p ON p.id = q.work_pool_id
JOIN flows_workspace w ON w.id = p.workspace_id
CROSS JOIN LATERAL (
    SELECT count(*) AS runs FROM (
        SELECT 1 {claimable("%(now)s")} LIMIT s.agents
    ) enough
) due
WHERE due.runs > 0 AND {OPEN_QUEUE}
"""


@dataclass(frozen=True, slots=True)
class Demand:
    """How many agents a queue could put to work now, and the name of its list of rings."""

    queue_id: UUID
    list_name: str
    runs: int


def demands(now: datetime) -> list[Demand]:
    """The queues in which runs are due and which agents serve. One query for all."""
    with connection.cursor() as cursor:
        cursor.execute(WANTED, {"now": now, "seen": now - OFFLINE_AFTER})
        return [Demand(row[0], doorbell.list_name(*row[1:4]), row[4]) for row in cursor.fetchall()]


def pending_rings(list_names: list[str]) -> list[int]:
    """How many rings wait in each of these lists. Raises redis.RedisError when Redis is away."""
    pipeline = doorbell.connection().pipeline(transaction=False)
    for name in list_names:
        pipeline.llen(f"{Queue.redis_queue_namespace_prefix}{name}")
    return pipeline.execute()


def ring_what_is_owed(now: datetime, until_then: Callable[[], None] = lambda: None) -> int | None:
    """Ring for runs that are due at `now` and that no pending ring stands for; return the number of rings.

    One at a time, so that two schedulers do not both ring for the same run: None, if another is at it. If
    `now` is still to come, `until_then` waits for it: all but the ringing is done before.
    """
    with alone("sweep") as mine:
        if not mine:
            return None
        wanted = demands(now)
        until_then()
        pending = pending_rings([each.list_name for each in wanted])
        owed = [max(0, each.runs - there) for each, there in zip(wanted, pending, strict=True)]
        for demand, rings in zip(wanted, owed, strict=True):
            if rings:
                doorbell.ring_times(demand.queue_id, rings)
        return sum(owed)


def sweep(now: datetime) -> None:
    """One step of the loop."""
    ring_what_is_owed(now)
