"""What a claim costs while runs pile up: finished ones, waiting ones, and those that a limit holds back."""

from pathlib import Path
from time import perf_counter
from typing import Any
from uuid import uuid4

from tests.bench.figures import Figure, milliseconds

CLAIMS = 300
FEW, MANY = 1_000, 1_000_000
BACKLOG = 10_000

# Rows as the past would have left them, or as they wait; only the columns that matter.
PILE = """
INSERT INTO runs_flowrun
    (id, workspace_id, flow_id, deployment_id, work_queue_id, name, parameters, tags, priority, state_type,
     state_name, state_message, state_timestamp, expected_start_time, start_time, end_time, total_run_time,
     run_count, attempt, infrastructure_pid, version, created, updated)
SELECT gen_random_uuid(), d.workspace_id, d.flow_id, d.id, d.work_queue_id, 'run-' || n, '{}', '{}', %s, %s,
       %s, '', t.at, t.at, CASE WHEN %s THEN t.at END, CASE WHEN %s THEN t.at END, 1, 1, 1, '', 1, t.at, t.at
FROM flows_deployment d, generate_series(1, %s) n,
     LATERAL (SELECT now() - n * interval '1 second' AS at) t
WHERE d.id = %s
"""


def measure(folder: Path) -> list[Figure]:
    from runs.models.flow_run import NEXT
    from tests.factories import make_deployment, make_queue

    name = f"bench-{uuid4().hex[:6]}"
    queue = make_queue(name)
    free = make_deployment(f"{name}-free", queue=queue)
    limited = make_deployment(f"{name}-limited", queue=queue, concurrency_limit=1_000_000)
    full = make_deployment(f"{name}-full", queue=queue, concurrency_limit=0)
    figures = [_commits(free)]
    _pile(free, "COMPLETED", FEW)
    figures.append(_claims(free, f"claim, {FEW:,} finished runs"))
    _pile(free, "COMPLETED", MANY - FEW)
    figures.append(_claims(free, f"claim, {MANY:,} finished runs", goal="as with 1,000"))
    figures.append(_claims(limited, "  of a deployment with a limit"))
    _pile(free, "SCHEDULED", BACKLOG)
    figures.append(_claims(free, f"  and {BACKLOG:,} waiting", goal="as with 1,000"))
    _pile(full, "SCHEDULED", BACKLOG, priority=NEXT)
    figures.append(_claims(free, f"  and {BACKLOG:,} before them that wait for a slot"))
    return figures


def _pile(deployment: Any, state: str, count: int, priority: int = 0) -> None:
    from django.db import connection

    over = state == "COMPLETED"
    with connection.cursor() as cursor:
        cursor.execute(PILE, [priority, state, state.capitalize(), over, over, count, deployment.id])
        cursor.execute("VACUUM ANALYZE runs_flowrun")


def _commits(deployment: Any) -> Figure:
    """The least that a claim can take: one row is changed, and the disk has it."""
    from runs.session import PsycopgSession, conninfo_of_django

    session = PsycopgSession(conninfo_of_django())
    taken = []
    for _ in range(CLAIMS):
        before = perf_counter()
        session.execute("UPDATE flows_deployment SET updated = now() WHERE id = %s", [deployment.id])
        taken.append(perf_counter() - before)
    session.close()
    return milliseconds("one row changed, durably: the limit of a claim", taken[10:])


def _claims(deployment: Any, name: str, goal: str = "") -> Figure:
    """Claim runs one after the other; each ends at once, so that none but it is under way."""
    from agents.claim import claim
    from agents.registry import Identity, beat
    from runs.models import FlowRun
    from runs.session import PsycopgSession, conninfo_of_django

    _pile(deployment, "SCHEDULED", CLAIMS)
    session = PsycopgSession(conninfo_of_django())
    agent = Identity(name="bench", queue_ids=(deployment.work_queue_id,))
    beat(session, agent)
    taken = []
    for _ in range(CLAIMS):
        before = perf_counter()
        claimed = claim(session, agent.id, agent.queue_ids)
        taken.append(perf_counter() - before)
        assert claimed is not None
        FlowRun.objects.filter(id=claimed.run.id).update(state_type="COMPLETED", lease_expires=None)
    session.close()
    return milliseconds(name, taken[10:], goal)
