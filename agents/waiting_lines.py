"""Reasons of runs that wait for their turn: who goes before them, and by which rule."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from uuid import UUID

from django.db import connection

from agents.claimable import IN_ORDER, LIVE_AND_SHUT, OPEN_QUEUE, claimable
from agents.reasons import POSITIONS_COUNTED, Reason, link, reason
from runs.models import FlowRun

# Those that the claim would take before the run from its queue. `overtakes`: not because it waits longer.
LINE = f"""
WITH {LIVE_AND_SHUT}, asked AS (
    SELECT *, {IN_ORDER} AS place FROM runs_flowrun r WHERE id = %s
), ahead AS (
    SELECT line.* FROM asked
    CROSS JOIN LATERAL (SELECT asked.work_queue_id AS id) q
    CROSS JOIN LATERAL (
        SELECT r.id, r.name, r.expected_start_time > asked.expected_start_time AS overtakes
        {claimable("now()")} AND {IN_ORDER} < asked.place
        ORDER BY {IN_ORDER} LIMIT {POSITIONS_COUNTED}
    ) line
)
SELECT (SELECT count(*) FROM ahead), (SELECT count(*) FROM ahead WHERE overtakes), first.id, first.name
FROM (VALUES (1)) one LEFT JOIN (SELECT id, name FROM ahead WHERE overtakes LIMIT 1) first ON true
"""

# Another workspace that the same agents serve, where runs may start and fewer are under way.
HUNGRIER = f"""
WITH {LIVE_AND_SHUT}, busy AS (
    SELECT workspace_id, sum(runs) AS runs FROM live GROUP BY 1
)
SELECT mine.runs
FROM agents_workqueue q
JOIN agents_workpool p ON p.id = q.work_pool_id AND p.workspace_id <> %s
JOIN busy mine ON mine.workspace_id = %s
LEFT JOIN busy theirs ON theirs.workspace_id = p.workspace_id
WHERE q.id = ANY(%s) AND {OPEN_QUEUE} AND coalesce(theirs.runs, 0) < mine.runs
  AND EXISTS (SELECT 1 {claimable("now()")})
LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Line:
    """The runs before one in its queue: how many, how many of them overtook it, and the first of those."""

    length: int
    overtaking: int
    first_id: UUID | None
    first_name: str | None


def line_before(run: FlowRun) -> Line:
    """Who goes before `run`, counted no further than 1,000."""
    with connection.cursor() as cursor:
        cursor.execute(LINE, [run.id])
        return Line(*cursor.fetchone())


def of_order(run: FlowRun, line: Line, queue_ids: Collection[UUID]) -> Iterator[Reason]:
    """Why others go first although they came later. `queue_ids` are those that its agents serve."""
    if line.first_id is not None:
        yield _overtaken(run, line)
    with connection.cursor() as cursor:
        cursor.execute(HUNGRIER, [run.workspace_id, run.workspace_id, list(queue_ids)])
        hungrier = cursor.fetchone()
    if hungrier is not None:
        yield _workspace_share(run, int(hungrier[0]))


def _overtaken(run: FlowRun, line: Line) -> Reason:
    assert line.first_id is not None
    others = f" and {line.overtaking - 1} more" if line.overtaking > 1 else ""
    verb = "go" if others else "goes"
    return reason(
        "behind_priority",
        f"{line.first_name}{others} {verb} before it, with a higher priority than its {run.priority}. "
        "Every 5 minutes of waiting count as one level.",
        link("flow_run", line.first_id),
        since=run.expected_start_time,
        position=line.length + 1,
        fix="Run it next, or wait.",
    )


def _workspace_share(run: FlowRun, runs: int) -> Reason:
    """Names nobody: the other workspace may be none of this one's business."""
    return reason(
        "workspace_share",
        f"Its workspace has {runs} runs under way. Its agents also serve a workspace with fewer, "
        "which goes first.",
        since=run.expected_start_time,
        fix="Wait, or start an agent for this workspace alone.",
    )
