"""What may start: the conditions of the claim, as pieces of SQL.

The claim, the sweeper and the answer to "why does it wait" all read them from here, so that they agree.
A piece speaks of a run as `r`, of its queue as `q` and of the pool of that as `p`.
"""

from datetime import timedelta

from agents.models.work_pool import CLAIMED_BY_AGENTS
from runs.models.flow_run import AGEING, LOWEST

# The order within a queue, as `runs.models.flow_run.in_order` says it; the index holds it.
IN_ORDER = f"(r.expected_start_time AT TIME ZONE 'UTC' - {AGEING} * r.priority)"

# A run with a queue takes a slot of each limit above it from its claim until no process has it any more.
# Prefect's workers take no lease, so their runs count by their state.
UNDER_WAY = """(
    r.work_queue_id IS NOT NULL
    AND (r.leased OR r.state_type IN ('PENDING', 'RUNNING', 'CANCELLING'))
)"""

# `planned`: until when the loop `PLANNING` of a scheduler has seen to it that slots are not missed.
PLANNING = "materialise"
PLANNED = f"""
planned AS MATERIALIZED (
    SELECT coalesce(max(last_success), 'infinity') AS until FROM agents_servicestatus
    WHERE name = '{PLANNING}'
)
"""
# What exists ahead covers shorter absences of the scheduler.
SCHEDULER_AWAY = timedelta(seconds=30)

# A run that became due while no scheduler worked, and none has worked since. Its schedule's policy for missed
# runs has yet to say whether it runs, so an agent that is back before the scheduler leaves it. One that was
# tried, or that has just become due, is not missed.
MISSED = f"""(
    r.schedule_id IS NOT NULL AND r.attempt = 0 AND r.run_count = 0
    AND r.expected_start_time <= now() - interval '{SCHEDULER_AWAY.total_seconds()} seconds'
    AND r.expected_start_time > (SELECT until FROM planned)
)"""

# `live`: how many runs are under way, counted anew. `shut`: the deployments of which none may start.
LIVE_AND_SHUT = f"""
{PLANNED.strip()},
live AS MATERIALIZED (
    SELECT r.workspace_id, r.work_queue_id, r.deployment_id, count(*) AS runs
    FROM runs_flowrun r WHERE {UNDER_WAY}
    GROUP BY 1, 2, 3
), shut AS MATERIALIZED (
    SELECT id FROM flows_deployment WHERE paused OR concurrency_limit = 0
    UNION ALL
    SELECT d.id
    FROM (SELECT deployment_id, sum(runs) AS runs FROM live GROUP BY 1) held
    JOIN flows_deployment d ON d.id = held.deployment_id AND d.concurrency_limit <= held.runs
)
"""

ROOM = """
    (q.concurrency_limit IS NULL OR q.concurrency_limit > coalesce(
        (SELECT sum(live.runs) FROM live WHERE live.work_queue_id = q.id), 0))
    AND (p.concurrency_limit IS NULL OR p.concurrency_limit > coalesce(
        (SELECT sum(live.runs) FROM live JOIN agents_workqueue sibling ON sibling.id = live.work_queue_id
         WHERE sibling.work_pool_id = p.id), 0))
"""

SERVED_BY_AGENTS = f"p.type IN ({', '.join(repr(each) for each in CLAIMED_BY_AGENTS)})"
OPEN_QUEUE = f"NOT q.paused AND NOT p.paused AND {SERVED_BY_AGENTS} AND {ROOM}"


def waiting(now: str) -> str:
    """The runs of queue `q` that are due at `now` and that nobody has taken.

    The bound on the order lets the index leave out those that are due much later.
    """
    return f"""
    r.work_queue_id = q.id
      AND r.state_type = 'SCHEDULED'
      AND NOT r.leased
      AND {IN_ORDER} <= {now} AT TIME ZONE 'UTC' - {AGEING} * {LOWEST}
      AND r.expected_start_time <= {now}
"""


def claimable(now: str) -> str:
    """Those of them that were not missed, and whose deployment lets one start. Needs `planned`, `shut`."""
    return f"""
    FROM runs_flowrun r
    WHERE {waiting(now)}
      AND (r.deployment_id IS NULL OR r.deployment_id NOT IN (SELECT id FROM shut))
      AND NOT {MISSED}
"""
