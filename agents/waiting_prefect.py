"""Reasons of runs that Prefect's processes have taken: who has them, and what happens next."""

from agents.models.work_pool import CLAIMED_BY_AGENTS
from agents.reasons import Link, Reason, link, moment, reason
from agents.services.cancellations import CONFIRMED_WITHIN
from runs.models import FlowRun


def is_with_prefect(run: FlowRun) -> bool:
    """Whether the run is one for Prefect's processes: no agent takes it, or had it."""
    queue = run.work_queue
    return run.attempt == 0 and (queue is None or queue.work_pool.type not in CLAIMED_BY_AGENTS)


def picked_by_prefect(run: FlowRun) -> Reason:
    """A run that is PENDING: its worker, or the script that serves or calls its flow, starts its process."""
    worker = (run.labels or {}).get("prefect.worker.name")
    who = f"Prefect worker {worker}" if worker else "A Prefect process"
    text = f"{who} took it at {moment(run.state_timestamp)} and is starting its process."
    fix = "If that takes long, look at the worker's log; cancel the run if nothing comes of it."
    return reason("picked_by_prefect", text, _where(run), since=run.state_timestamp, fix=fix)


def cancelled_by_prefect(run: FlowRun) -> Reason:
    """A run that is CANCELLING: whoever started its process ends it."""
    minutes = round(CONFIRMED_WITHIN.total_seconds() / 60)
    text = (
        f"It was asked to stop at {moment(run.state_timestamp)}. Its Prefect worker, or the script that "
        f"serves it, ends its process; without a word from there it is cancelled after {minutes} minutes."
    )
    return reason("cancelling", text, link("flow_run", run.id), since=run.state_timestamp)


def _where(run: FlowRun) -> Link:
    return link("work_queue", run.work_queue_id) if run.work_queue_id else link("flow_run", run.id)
