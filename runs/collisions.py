"""Collisions: runs that are due while all slots of their deployment are taken, and are not to wait.

A deployment's `collision_strategy` says who gives way. It is applied as soon as such a run is made, and
once a second to those that became due by the clock. Runs that have begun before (retries, resumed ones)
are no newcomers: they wait for a slot.
"""

from collections.abc import Sequence
from uuid import UUID

from flows.models import CollisionStrategy
from flows.sdk.states import Cancelling
from runs.session import Session, Transaction
from runs.transition import transition_in

# Runs of Prefect's processes meet the strategy when they shall start: see `runs.slots`.
BY_AGENTS = """EXISTS (
    SELECT 1 FROM agents_workqueue q JOIN agents_workpool p ON p.id = q.work_pool_id
    WHERE q.id = d.work_queue_id AND p.type <> 'prefect')
"""
COLLIDING = f"""
SELECT d.id FROM flows_deployment d
WHERE d.concurrency_limit IS NOT NULL AND d.collision_strategy <> 'ENQUEUE' AND NOT d.paused AND {BY_AGENTS}
  AND EXISTS (
    SELECT 1 FROM runs_flowrun r
    WHERE r.deployment_id = d.id AND r.state_type = 'SCHEDULED' AND NOT r.leased
      AND r.start_time IS NULL AND r.expected_start_time <= now())
"""

DEPLOYMENT = f"""
SELECT f.name || '/' || d.name, d.concurrency_limit, d.collision_strategy
FROM flows_deployment d JOIN flows_flow f ON f.id = d.flow_id
WHERE d.id = %s AND d.concurrency_limit IS NOT NULL AND d.collision_strategy <> 'ENQUEUE' AND NOT d.paused
  AND {BY_AGENTS}
"""
UNDER_WAY = """
SELECT r.id, r.state_type = 'CANCELLING' FROM runs_flowrun r
WHERE r.deployment_id = %s AND r.work_queue_id IS NOT NULL
  AND (r.leased OR r.state_type IN ('PENDING', 'RUNNING', 'CANCELLING'))
ORDER BY r.claimed_time NULLS FIRST, r.id
"""
# One that is locked is just being claimed, or settled by somebody else: waiting for it could be a deadlock.
# What the two of us do not know of each other is put right a second later.
NEWCOMERS = """
SELECT r.id FROM runs_flowrun r
WHERE r.deployment_id = %s AND r.state_type = 'SCHEDULED' AND NOT r.leased
  AND r.start_time IS NULL AND r.expected_start_time <= now()
ORDER BY r.expected_start_time, r.id
FOR UPDATE OF r SKIP LOCKED
"""


def colliding(session: Session) -> list[UUID]:
    """The deployments with such a strategy for which runs wait now."""
    with session.transaction() as tx:
        return [row[0] for row in tx.execute(COLLIDING)]


def settle(session: Session, deployment_id: UUID) -> None:
    """Apply the deployment's strategy to its runs that are due."""
    with session.transaction() as tx:
        settle_in(tx, deployment_id)


def settle_in(tx: Transaction, deployment_id: UUID) -> None:
    """`settle` within a transaction that the caller has open."""
    rows = tx.execute(DEPLOYMENT, [deployment_id])
    if not rows:
        return
    name, limit, strategy = rows[0]
    newcomers = [row[0] for row in tx.execute(NEWCOMERS, [deployment_id])]
    under_way = tx.execute(UNDER_WAY, [deployment_id])
    too_many = len(under_way) + len(newcomers) - limit
    if too_many <= 0:
        return
    why = f"{name} runs at most {limit} at once; its collision strategy is {strategy}."
    for run_id in _giving_way(strategy, limit, newcomers, under_way):
        transition_in(tx, run_id, Cancelling(message=f"Gave way to another run: {why}"))


def _giving_way(
    strategy: str, limit: int, newcomers: list[UUID], under_way: Sequence[tuple[UUID, bool]]
) -> list[UUID]:
    """Whom to cancel. `under_way` and `newcomers` are in order of age, the oldest first."""
    free = max(0, limit - len(under_way))
    if strategy == CollisionStrategy.CANCEL_NEW:
        return newcomers[free:]
    if strategy == CollisionStrategy.KEEP_LATEST:
        return newcomers[: -max(free, 1)]
    staying = newcomers[-max(limit, 1) :]
    ending = sum(is_ending for _, is_ending in under_way)
    wanted = min(len(staying), limit) - free - ending
    running = [run_id for run_id, is_ending in under_way if not is_ending]
    return newcomers[: -len(staying)] + running[: max(0, wanted)]
