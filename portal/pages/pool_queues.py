"""How the queues of work pools stand: what is under way and what waits in each, and which agents serve it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import connection

from agents.models import WorkQueue
from agents.registry import online_agents, spoken_name
from runs.models import FlowRun
from runs.models.flow_run import UNDER_WAY

MOST_COUNTED = 1000

# A bounded range of one index per queue, however many runs wait in it.
DUE = """
SELECT q.id, count(r.due)
FROM unnest(%s::uuid[]) AS q(id)
LEFT JOIN LATERAL (
    SELECT true AS due FROM runs_flowrun
    WHERE work_queue_id = q.id AND state_type = 'SCHEDULED' AND NOT leased AND expected_start_time <= now()
    LIMIT %s
) AS r ON true
GROUP BY q.id
"""


@dataclass(frozen=True, slots=True)
class QueueLine:
    """A queue and its numbers, as they are now; `due` counts to 1,001 at most."""

    queue: WorkQueue
    under_way: int
    due: int
    agents: int

    @property
    def waiting(self) -> str:
        return counted(self.due)

    @property
    def command(self) -> str:
        """What starts an agent for it."""
        return f"python manage.py rqworker {spoken_name(self.queue)}"


def counted(number: int) -> str:
    """A number that was counted no further than to 1,001."""
    return f"{MOST_COUNTED:,}+" if number > MOST_COUNTED else f"{number:,}"


def lines(queues: Sequence[WorkQueue]) -> list[QueueLine]:
    """The queues, in the order in which they are served. Three queries.

    The caller has checked that the user may see them.
    """
    ids = [queue.id for queue in queues]
    under_way = Counter(
        FlowRun.objects.filter(UNDER_WAY, work_queue__in=ids).values_list("work_queue_id", flat=True)
    )
    due = _due(ids)
    served = Counter(id for found in online_agents(*ids).values_list("queues", flat=True) for id in found)
    ordered = sorted(queues, key=lambda queue: (queue.priority, queue.name))
    return [QueueLine(each, under_way[each.id], due.get(each.id, 0), served[each.id]) for each in ordered]


def _due(queue_ids: Sequence[UUID]) -> dict[UUID, int]:
    with connection.cursor() as cursor:
        cursor.execute(DUE, [list(queue_ids), MOST_COUNTED + 1])
        return dict(cursor.fetchall())
