"""Slots of runs outside the claim: who is woken when they become free, and runs that others execute."""

from datetime import timedelta
from functools import partial
from uuid import UUID

from flows.models import CollisionStrategy
from flows.sdk.recorder import Status
from flows.sdk.states import Cancelled, Scheduled, StateType
from runs import announce
from runs.limits import tell_first_of
from runs.rules import Current, Decision
from runs.session import Transaction

OF_OTHERS = """
s.limit_id IN (SELECT limit_id FROM limits)
AND (s.flow_run_id IS NULL OR s.flow_run_id NOT IN (SELECT id FROM parts))
"""
# The queues in which somebody may have waited for just this run's slot: none, if nothing above it is limited.
# An agent that ends a run looks into its own queues anyway; the ring is for the others. Besides, whoever is
# next in line for named slots is told, where the run held some or stood in line before others.
GIVE_BACK = f"""
WITH parts AS MATERIALIZED (
    SELECT id FROM runs_flowrun WHERE id = %s OR root_run_id = %s
), limits AS MATERIALIZED (
    SELECT limit_id FROM runs_slot WHERE flow_run_id IN (SELECT id FROM parts)
    UNION
    SELECT limit_id FROM runs_waiter WHERE flow_run_id IN (SELECT id FROM parts)
), next AS ({tell_first_of(OF_OTHERS)})
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
UNION ALL
SELECT nullif(told::text, '')::uuid FROM next
"""


def wake_for_slots_of(tx: Transaction, run_id: UUID) -> None:
    """Wake, once the transaction is durable, those that wait for what this run and its subflows held."""
    for (queue_id,) in tx.execute(GIVE_BACK, [run_id, run_id, run_id]):
        if queue_id is not None:
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
