"""Slots of runs outside the claim: who is rung for when one is given back, and runs that others execute."""

from datetime import timedelta
from functools import partial
from uuid import UUID

from flows.models import CollisionStrategy
from flows.sdk.recorder import Status
from flows.sdk.states import Cancelled, Scheduled, StateType
from runs import announce
from runs.rules import Current, Decision
from runs.session import Transaction

# The queues in which somebody may have waited for just this slot: none, if nothing above the run is limited.
# An agent that ends a run looks into its own queues anyway; the ring is for the others.
WAITING_FOR_SLOT = """
SELECT q.id
FROM runs_flowrun ended
JOIN agents_workqueue own ON own.id = ended.work_queue_id
JOIN agents_workpool p ON p.id = own.work_pool_id
JOIN agents_workqueue q ON q.work_pool_id = p.id
LEFT JOIN flows_deployment d ON d.id = ended.deployment_id
WHERE ended.id = %s
  AND (p.concurrency_limit IS NOT NULL
       OR q.id = own.id AND coalesce(own.concurrency_limit, d.concurrency_limit) IS NOT NULL)
  AND EXISTS (
    SELECT 1 FROM runs_flowrun r
    WHERE r.work_queue_id = q.id AND r.state_type = 'SCHEDULED' AND NOT r.leased
      AND r.expected_start_time <= now())
"""


def ring_for_slot(tx: Transaction, run_id: UUID) -> None:
    """Ring, once the transaction is durable, for those that wait for the slot of this run."""
    for (queue_id,) in tx.execute(WAITING_FOR_SLOT, [run_id]):
        tx.on_commit(partial(announce.ring, queue_id))


# The lock that claims of the deployment's runs take: whoever has it sees all that had it before.
LOCK_DEPLOYMENT = """
SELECT pg_advisory_xact_lock(hashtextextended(d.id::text, 0))
FROM runs_flowrun r
JOIN flows_deployment d ON d.id = r.deployment_id AND d.concurrency_limit IS NOT NULL
WHERE r.id = %s
"""
FULL = """
SELECT d.concurrency_limit, d.collision_strategy
FROM runs_flowrun asked
JOIN flows_deployment d ON d.id = asked.deployment_id
WHERE asked.id = %s AND d.concurrency_limit <= (
    SELECT count(*) FROM runs_flowrun r
    WHERE r.deployment_id = d.id AND r.work_queue_id IS NOT NULL
      AND (r.leased OR r.state_type IN ('PENDING', 'RUNNING', 'CANCELLING'))
) + (
    SELECT count(*) FROM runs_flowrun r
    WHERE r.deployment_id = d.id AND r.work_queue_id IS NULL
      AND r.state_type IN ('PENDING', 'RUNNING', 'CANCELLING'))
"""
ASK_AGAIN = timedelta(seconds=30)


def if_there_is_a_slot(tx: Transaction, run: Current, decision: Decision) -> Decision:
    """`decision`, unless it lets a Prefect process start a run whose deployment has no free slot.

    The run then waits half a minute before it is handed out again, or is cancelled: as Prefect does it.
    """
    starts = decision.store is not None and decision.store.type is StateType.PENDING
    if not starts or run.state_type is not StateType.SCHEDULED or not run.has_deployment:
        return decision
    if not tx.execute(LOCK_DEPLOYMENT, [run.id]):
        return decision
    for limit, strategy in tx.execute(FULL, [run.id]):
        why = f"Its deployment runs at most {limit} at once."
        if strategy == CollisionStrategy.CANCEL_NEW:
            return Decision(Status.REJECT, why, store=Cancelled(message=why))
        later = Scheduled(run.now + ASK_AGAIN, name="AwaitingConcurrencySlot", message=why)
        return Decision(Status.REJECT, why, store=later)
    return decision
