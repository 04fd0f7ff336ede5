"""Why a run is not running: what it waits for, who holds it, and how to help.

The reasons are read off the same rows, by the same conditions, as a claim reads them.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Max

from agents.due import not_due
from agents.models import Agent, ServiceStatus, WorkQueue
from agents.models.work_pool import CLAIMED_BY_AGENTS
from agents.reasons import Reason, link, listing, moment, named, place, reason, span
from agents.registry import online_agents, spoken_name
from agents.services.database import database_time
from agents.waiting_lines import line_before, of_order
from agents.waiting_slots import of_limits, of_server, of_workers, slot_wait
from flows.models import Deployment
from runs.models import FlowRun
from runs.models.flow_run import TERMINAL, StateType
from runs.pausing import pause_of
from runs.quarantine import is_in_quarantine
from runs.session import DjangoSession

SCHEDULER_BEHIND_AFTER = timedelta(seconds=20)


def waiting_on(run: FlowRun) -> list[Reason]:
    """What `run` waits for, the most important first; empty if it has ended, or runs and waits for no slot.

    Every other run has at least one reason.
    """
    if run.state_type in TERMINAL:
        return []
    if run.state_type == StateType.RUNNING:
        return slot_wait(run)
    if run.state_type == StateType.SCHEDULED:
        return list(_of_scheduled(run, database_time())) or [_starting_now(run)]
    if run.state_type == StateType.PENDING:
        return [_picked(run) if run.agent else _starting_now(run)]
    return [_cancelling(run) if run.state_type == StateType.CANCELLING else _paused(run)]


def _of_scheduled(run: FlowRun, now: datetime) -> Iterator[Reason]:
    due = run.expected_start_time <= now or run.state_name == "AwaitingConcurrencySlot"
    if not due:
        yield _not_due_yet(run, now)
    paused = list(_pauses(run))
    yield from paused
    if run.work_queue is None:
        yield _no_queue(run, now)
    elif due and not paused:
        yield from _of_work(run, run.work_queue, now)
    yield from _of_scheduler(now)


def _of_work(run: FlowRun, queue: WorkQueue, now: datetime) -> Iterator[Reason]:
    """Why a run that is due, and held back by no switch, is not taken."""
    limited = list(of_limits(run, queue))
    yield from limited
    if queue.work_pool.type not in CLAIMED_BY_AGENTS:
        yield of_workers(run, queue.work_pool, now)
    else:
        yield from _of_agents(run, queue, may_start=not limited)


def _no_queue(run: FlowRun, now: datetime) -> Reason:
    if run.deployment is None:
        text = "It belongs to no work queue: no agent will start it. Whoever made it reports its states."
        return reason("no_queue", text, since=run.created)
    if run.deployment.work_queue_id is None:
        return of_server(run, run.deployment, now)
    text = "Its work queue was deleted, so no agent finds it."
    fix = "Cancel it, and run its deployment again."
    return reason("queue_deleted", text, link("deployment", run.deployment.id), fix=fix)


def _not_due_yet(run: FlowRun, now: datetime) -> Reason:
    when = f"{moment(run.expected_start_time)}, in {span(run.expected_start_time - now)}"
    if run.state_name == "AwaitingRetry":
        text = f"It failed and will be tried again at {when}."
        return reason("retry_wait", text, link("flow_run", run.id), since=run.state_timestamp)
    code, text, of = not_due(run, when)
    return reason(code, text, link(*of) if of else None, since=run.created)


def _pauses(run: FlowRun) -> Iterator[Reason]:
    deployment, queue = run.deployment, run.work_queue
    if deployment and is_in_quarantine(deployment):
        yield _quarantine(deployment)
    elif deployment and deployment.paused:
        yield _pause("deployment", deployment.name, deployment.id, deployment.updated)
    if queue and queue.paused:
        yield _pause("queue", queue.name, queue.id, queue.updated)
    if queue and queue.work_pool.paused:
        yield _pause("pool", queue.work_pool.name, queue.work_pool.id, queue.work_pool.updated)


def _quarantine(deployment: Deployment) -> Reason:
    text = f"Its deployment '{deployment.name}' is in quarantine: its last runs all crashed."
    fix = "Look at how they ended, mend it, then lift the quarantine on the deployment's page."
    where = link("deployment", deployment.id)
    return reason("deployment_quarantined", text, where, since=deployment.quarantined, fix=fix)


def _pause(what: str, name: str, id: UUID, since: datetime) -> Reason:
    kind = what if what == "deployment" else f"work_{what}"
    text = f"Its {kind.replace('_', ' ')} '{name}' is paused."
    return reason(f"{what}_paused", text, link(kind, id), since=since, fix=f"Resume the {what}.")


def _of_agents(run: FlowRun, queue: WorkQueue, may_start: bool) -> Iterator[Reason]:
    agents = dict(online_agents(queue.id).values_list("id", "queues"))
    if not agents:
        yield _no_agent_online(queue)
    if not agents or not may_start:
        return
    held = FlowRun.objects.filter(agent__in=agents, leased=True).order_by("claimed_time")
    holders = list(held.values("id", "name", "claimed_time", "agent_id"))
    if len({holder["agent_id"] for holder in holders}) == len(agents):
        line = line_before(run)
        yield _agents_busy(run, holders, line.length + 1)
        yield from of_order(run, line, {queue_id for queues in agents.values() for queue_id in queues})


def _no_agent_online(queue: WorkQueue) -> Reason:
    last = Agent.objects.filter(queues__contains=[queue.id]).order_by("-last_seen").first()
    text = f"No agent serves queue '{queue.name}'"
    if last is None:
        text += ", and none ever did."
    else:
        text += f". The last one was {last.name} on {last.hostname}, seen {moment(last.last_seen)}."
    return reason(
        "no_agent_online",
        text,
        link("agent", last.id) if last else link("work_queue", queue.id),
        since=(last.stopped or last.last_seen) if last else None,
        fix=f"Start an agent: python manage.py rqworker {spoken_name(queue)}",
    )


def _agents_busy(run: FlowRun, holders: list[dict[str, Any]], position: int) -> Reason:
    return reason(
        "agents_busy",
        f"All agents of its queue are busy with {listing(holders)}. It is {place(position)} in the queue.",
        link("flow_run", holders[0]["id"]),
        since=run.expected_start_time,
        position=position,
        fix="Start another agent, or wait.",
        holders=named(holders),
    )


def _of_scheduler(now: datetime) -> Iterator[Reason]:
    last = ServiceStatus.objects.filter(name="sweep").aggregate(last=Max("last_success"))["last"]
    if last is not None and now - last <= SCHEDULER_BEHIND_AFTER:
        return
    ago = f"has not worked for {span(now - last)}" if last else "has never run"
    text = f"The scheduler {ago}: nothing rings for runs that become due."
    yield reason("scheduler_behind", text, since=last, fix="Start it: python manage.py scheduler")


def _picked(run: FlowRun) -> Reason:
    assert run.agent is not None
    text = f"Agent {run.agent.name} on {run.agent.hostname} took it and is starting its process."
    return reason("picked_by_agent", text, link("agent", run.agent.id), since=run.claimed_time)


def _cancelling(run: FlowRun) -> Reason:
    grace = settings.PORTAL_CANCEL_GRACE_SECONDS
    asked = moment(run.state_timestamp)
    text = f"It was asked to stop at {asked}, and is killed if it still runs {grace:g} s later."
    return reason("cancelling", text, link("flow_run", run.id), since=run.state_timestamp)


def _paused(run: FlowRun) -> Reason:
    with DjangoSession().transaction() as tx:
        pause = pause_of(tx, run.id)
    asks = pause is not None and pause.schema is not None
    text = f"It is {run.state_name.lower()} until somebody {'answers it' if asks else 'resumes it'}"
    text += f", and fails at {moment(run.pause_expires)}." if run.pause_expires else "."
    fix = "Fill in the form on its page, or send its input to the API." if asks else "Resume the run."
    return reason("paused", text, since=run.state_timestamp, fix=fix)


def _starting_now(run: FlowRun) -> Reason:
    return reason("starting_now", "Nothing holds it: it starts now.", since=run.expected_start_time)
