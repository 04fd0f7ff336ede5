"""How it goes with deployments: whether somebody fetches their runs, and how many of them run."""

from typing import Any
from uuid import UUID

from django.db.models import Count

from agents.services.database import database_time
from portal.api.base.resource import Rows
from portal.api.work_pools.queues import POLLED_LATELY, served_queues
from runs.models import FlowRun
from runs.models.flow_run import SERVED, UNDER_WAY


def is_ready(rows: Rows) -> set[Any]:
    """Of these rows of deployments, the ids of those whose queue agents serve, or that were polled lately."""
    if not rows:
        return set()
    served, since = served_queues(), database_time() - POLLED_LATELY
    return {
        row["id"]
        for row in rows
        if row["work_queue_id"] in served
        or any(polled and polled > since for polled in (row["last_polled"], row["work_queue__last_polled"]))
    }


def active_slots(rows: Rows) -> dict[UUID, int]:
    """How many runs of each deployment are under way; 0 without a count for those that have no limit."""
    found = {row["id"]: 0 for row in rows}
    limited = [row["id"] for row in rows if row["concurrency_limit"] is not None]
    if limited:
        running = FlowRun.objects.filter(UNDER_WAY | SERVED, deployment__in=limited).order_by()
        found.update(running.values_list("deployment").annotate(Count("id")))
    return found
