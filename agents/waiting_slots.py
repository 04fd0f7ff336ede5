"""Reasons of runs that wait for a slot: of the limits above them, or of one that they asked for."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Q

from agents.claimable import IN_ORDER, waiting
from agents.models import WorkPool, WorkQueue
from agents.reasons import POSITIONS_COUNTED, Reason, link, listing, moment, named, place, reason
from flows.models import Deployment
from runs.models import FlowRun, Waiter
from runs.models.flow_run import UNDER_WAY

SERVED_LATELY = timedelta(seconds=60)
# The place among those that wait for the same deployment's slots.
LINE_OF_DEPLOYMENT = f"""
SELECT count(*) FROM (
    SELECT 1 FROM runs_flowrun r
    JOIN runs_flowrun asked ON asked.id = %s
    JOIN agents_workqueue q ON q.id = asked.work_queue_id
    WHERE {waiting("now()")} AND r.deployment_id = asked.deployment_id
      AND {IN_ORDER} < {IN_ORDER.replace("r.", "asked.")}
    LIMIT {POSITIONS_COUNTED}
) ahead
"""


def of_limits(run: FlowRun, queue: WorkQueue) -> Iterator[Reason]:
    """The limits above the run that have no free slot."""
    pool, deployment = queue.work_pool, run.deployment
    if deployment is not None:
        yield from _full("deployment", deployment, run, Q(deployment=deployment))
    yield from _full("queue", queue, run, Q(work_queue=queue))
    yield from _full("pool", pool, run, Q(work_queue__work_pool=pool))


def _full(what: str, limited: Any, run: FlowRun, below: Q) -> Iterator[Reason]:
    limit, kind = limited.concurrency_limit, what if what == "deployment" else f"work_{what}"
    if limit is None:
        return
    there = f"Its {kind.replace('_', ' ')} '{limited.name}'"
    if limit == 0:
        text = f"{there} has a limit of 0 runs: none starts until it is raised."
        yield reason(
            "limit_zero",
            text,
            link(kind, limited.id),
            since=limited.updated,
            fix=f"Raise the limit of the {what}.",
        )
        return
    under_way = FlowRun.objects.filter(UNDER_WAY, below).order_by("claimed_time", "id")
    holders = list(under_way.values("id", "name")[:POSITIONS_COUNTED])
    if len(holders) >= limit:
        yield _slots_taken(what, f"{there} runs", link(kind, limited.id), limit, holders, run)


def _slots_taken(
    what: str, there: str, above: Any, limit: int, holders: list[dict[str, Any]], run: FlowRun
) -> Reason:
    text = f"{there} at most {limit} at once. Under way: {listing(holders)}."
    position = _place_in_deployment(run.id) if what == "deployment" else None
    if position is not None:
        text += f" It is {place(position)} of those that wait for a slot."
    return reason(
        f"{what}_limit",
        text,
        above,
        since=run.expected_start_time,
        position=position,
        fix=f"Wait until one of them ends, or raise the limit of the {what}.",
        holders=named(holders),
    )


def _place_in_deployment(run_id: UUID) -> int:
    with connection.cursor() as cursor:
        cursor.execute(LINE_OF_DEPLOYMENT, [run_id])
        ahead: int = cursor.fetchone()[0]
    return ahead + 1


def of_workers(run: FlowRun, pool: WorkPool, now: datetime) -> Reason:
    """A pool that Prefect workers poll: who is there to take the run."""
    workers = sorted(pool.workers.all(), key=lambda worker: worker.last_heartbeat_time)
    here = f"Its work pool '{pool.name}' is polled by Prefect workers, not served by agents"
    above = link("work_pool", pool.id)
    if workers and workers[-1].is_online(now):
        text = f"{here}: {workers[-1].name} takes it when it polls next."
        return reason("pool_type", text, above, since=run.expected_start_time)
    last = workers[-1] if workers else None
    seen = f"the last was {last.name}, seen {moment(last.last_heartbeat_time)}" if last else "none ever did"
    text = f"{here}, and no worker polls: {seen}."
    fix = f"Start one: prefect worker start --pool '{pool.name}'"
    return reason("pool_type", text, above, since=last.last_heartbeat_time if last else None, fix=fix)


def of_server(run: FlowRun, deployment: Deployment, now: datetime) -> Reason:
    """A deployment that a Prefect process serves: whether it asks for runs."""
    here = "The Prefect process that serves its deployment fetches it, not an agent"
    above, polled = link("deployment", deployment.id), deployment.last_polled
    if polled is not None and now - polled < SERVED_LATELY:
        return reason("served", f"{here}: it asks again in a moment.", above, since=run.expected_start_time)
    seen = f"the last one asked at {moment(polled)}" if polled else "none ever did"
    text = f"{here}, and none asks for runs: {seen}."
    return reason("served", text, above, since=polled, fix="Start the script that calls flow.serve().")


def slot_wait(run: FlowRun) -> list[Reason]:
    """The limits of whose slots code of a running run waits, inside `concurrency()` or `rate_limit()`."""
    return [_of_waiter(each) for each in Waiter.present().filter(flow_run=run).select_related("limit")]


def _of_waiter(waiter: Waiter) -> Reason:
    limit = waiter.limit
    held = limit.slots.model.held().filter(limit=limit).select_related("flow_run")
    runs = [{"id": slot.flow_run_id, "name": slot.flow_run.name} for slot in held if slot.flow_run]
    before = Waiter.present().filter(limit=limit, since__lt=waiter.since)
    position = before[:POSITIONS_COUNTED].count() + 1
    by = f", held by {listing(runs)}" if runs else ""
    text = f"Its code waits for {waiter.wanted} of {limit.limit} slots of limit '{limit.name}'{by}."
    if limit.limit == 0:
        text = f"Its code waits for limit '{limit.name}', which is 0: it gives no slots until it is raised."
    return reason(
        "slot_wait",
        f"{text} It is {place(position)} in line.",
        link("concurrency_limit", limit.id),
        since=waiter.since,
        position=position,
        fix="Wait, raise the limit, or release a slot on its page." if limit.limit else "Raise the limit.",
        holders=named(runs),
    )
