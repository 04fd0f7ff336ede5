"""Reasons of runs that wait for a slot: of the limits above them, or of one that they asked for."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import connection

from agents.claimable import IN_ORDER, waiting
from agents.models import WorkPool, WorkQueue
from agents.reasons import POSITIONS_COUNTED, Reason, link, listing, moment, named, place, reason
from agents.surroundings import Holder, Surroundings
from flows.models import Deployment
from runs.models import FlowRun, Waiter

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


def of_limits(run: FlowRun, queue: WorkQueue, around: Surroundings) -> Iterator[Reason]:
    """The limits above the run that have no free slot."""
    if run.deployment is not None:
        yield from _full("deployment", run.deployment, run, around)
    yield from _full("queue", queue, run, around)
    yield from _full("pool", queue.work_pool, run, around)


def _full(what: str, limited: Any, run: FlowRun, around: Surroundings) -> Iterator[Reason]:
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
    holders = around.under_way(what, limited.id)
    if len(holders) >= limit:
        counted = what == "deployment" and around.counts_places
        position = _place_in_deployment(run.id) if counted else None
        text = f"{there} runs at most {limit} at once."
        yield _slots_taken(what, text, link(kind, limited.id), holders, run, position)


def _slots_taken(
    what: str, text: str, above: Any, holders: list[Holder], run: FlowRun, position: int | None
) -> Reason:
    text += f" Under way: {listing(holders)}."
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


def of_workers(run: FlowRun, pool: WorkPool, around: Surroundings) -> Reason:
    """A pool that Prefect workers poll: who is there to take the run."""
    workers = around.workers(pool.id)
    here = f"Its work pool '{pool.name}' is polled by Prefect workers, not served by agents"
    above = link("work_pool", pool.id)
    if workers and workers[-1].is_online(around.now):
        text = f"{here}: {workers[-1].name} takes it when it polls next."
        return reason("pool_type", text, above, since=run.expected_start_time)
    last = workers[-1] if workers else None
    seen = f"the last was {last.name}, seen {moment(last.last_heartbeat_time)}" if last else "none ever did"
    text = f"{here}, and no worker polls: {seen}."
    fix = f"Start one: prefect worker start --pool '{pool.name}'"
    return reason("pool_type", text, above, since=last.last_heartbeat_time if last else None, fix=fix)


def of_server(run: FlowRun, deployment: Deployment, around: Surroundings) -> Reason:
    """A deployment that a Prefect process serves: whether it asks for runs."""
    here = "The Prefect process that serves its deployment fetches it, not an agent"
    above, polled = link("deployment", deployment.id), deployment.last_polled
    if polled is not None and around.now - polled < SERVED_LATELY:
        return reason("served", f"{here}: it asks again in a moment.", above, since=run.expected_start_time)
    seen = f"the last one asked at {moment(polled)}" if polled else "none ever did"
    text = f"{here}, and none asks for runs: {seen}."
    return reason("served", text, above, since=polled, fix="Start the script that calls flow.serve().")


def of_slots(run: FlowRun, around: Surroundings) -> Iterator[Reason]:
    """The limits of whose slots code of a running run waits, inside `concurrency()` or `rate_limit()`."""
    for waiter, position in around.slot_waits(run):
        yield _of_waiter(waiter, position, around.slot_holders(waiter.limit_id))


def _of_waiter(waiter: Waiter, position: int, runs: list[Holder]) -> Reason:
    limit = waiter.limit
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
