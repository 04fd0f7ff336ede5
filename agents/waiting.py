"""Why a run is not running: what it waits for, who holds it, and how to help.

The reasons are read off the same rows, by the same conditions, as a claim reads them.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, TypedDict
from uuid import UUID

from django.conf import settings
from django.db.models import Max, Q

from agents.due import not_due
from agents.models import Agent, ServiceStatus, WorkQueue
from agents.registry import online_agents, spoken_name
from agents.services.database import database_time
from flows.models import Deployment
from runs.models import FlowRun
from runs.models.flow_run import TERMINAL, StateType
from runs.pausing import pause_of
from runs.quarantine import is_in_quarantine
from runs.session import DjangoSession

SCHEDULER_BEHIND_AFTER = timedelta(seconds=20)
HOLDERS_NAMED = 5
POSITIONS_COUNTED = 1000


class Link(TypedDict):
    """An object; the faces make a URL of it.

    `kind`: flow_run, deployment, schedule, calendar, work_queue, work_pool, agent.
    """

    kind: str
    id: str


class Reason(TypedDict):
    """One thing that a run waits for.

    `since` is when it began (None: unknown), `position` the place in the queue (1 is next),
    `fix` what a person can do (empty: nothing is needed), `holders` the runs that are in the way.
    """

    code: str
    text: str
    link: Link | None
    since: datetime | None
    position: int | None
    fix: str
    holders: list[dict[str, str]]


def waiting_on(run: FlowRun) -> list[Reason]:
    """What `run` waits for, the most important first; empty if it is running or has ended.

    Every other run has at least one reason.
    """
    if run.state_type == StateType.RUNNING or run.state_type in TERMINAL:
        return []
    if run.state_type == StateType.SCHEDULED:
        return list(_of_scheduled(run, database_time())) or [_starting_now(run)]
    if run.state_type == StateType.PENDING:
        return [_picked(run) if run.agent else _starting_now(run)]
    return [_cancelling(run) if run.state_type == StateType.CANCELLING else _paused(run)]


def _reason(
    code: str,
    text: str,
    link: Link | None = None,
    *,
    since: datetime | None = None,
    position: int | None = None,
    fix: str = "",
    holders: list[dict[str, str]] | None = None,
) -> Reason:
    return Reason(
        code=code, text=text, link=link, since=since, position=position, fix=fix, holders=holders or []
    )


def _link(kind: str, id: UUID) -> Link:
    return {"kind": kind, "id": str(id)}


def _of_scheduled(run: FlowRun, now: datetime) -> Iterator[Reason]:
    due = run.expected_start_time <= now
    if not due:
        yield _not_due_yet(run, now)
    paused = list(_pauses(run))
    yield from paused
    if due and not paused and run.work_queue:
        yield from _of_agents(run, run.work_queue, now)
    yield from _of_scheduler(now)


def _not_due_yet(run: FlowRun, now: datetime) -> Reason:
    when = f"{_moment(run.expected_start_time)}, in {_span(run.expected_start_time - now)}"
    if run.state_name == "AwaitingRetry":
        text = f"It failed and will be tried again at {when}."
        return _reason("retry_wait", text, _link("flow_run", run.id), since=run.state_timestamp)
    code, text, link = not_due(run, when)
    return _reason(code, text, _link(*link) if link else None, since=run.created)


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
    link = _link("deployment", deployment.id)
    return _reason("deployment_quarantined", text, link, since=deployment.quarantined, fix=fix)


def _pause(what: str, name: str, id: UUID, since: datetime) -> Reason:
    kind = what if what == "deployment" else f"work_{what}"
    text = f"Its {kind.replace('_', ' ')} '{name}' is paused."
    return _reason(f"{what}_paused", text, _link(kind, id), since=since, fix=f"Resume the {what}.")


def _of_agents(run: FlowRun, queue: WorkQueue, now: datetime) -> Iterator[Reason]:
    agents = list(online_agents(queue.id).values_list("id", flat=True))
    if not agents:
        yield _no_agent_online(queue)
        return
    held = FlowRun.objects.filter(agent__in=agents, lease_expires__isnull=False).order_by("claimed_time")
    holders = list(held.values("id", "name", "claimed_time", "agent_id"))
    if len({holder["agent_id"] for holder in holders}) == len(agents):
        yield _agents_busy(run, holders, _position(run, now))


def _no_agent_online(queue: WorkQueue) -> Reason:
    last = Agent.objects.filter(queues__contains=[queue.id]).order_by("-last_seen").first()
    text = f"No agent serves queue '{queue.name}'"
    if last is None:
        text += ", and none ever did."
    else:
        text += f". The last one was {last.name} on {last.hostname}, seen {_moment(last.last_seen)}."
    return _reason(
        "no_agent_online",
        text,
        _link("agent", last.id) if last else _link("work_queue", queue.id),
        since=(last.stopped or last.last_seen) if last else None,
        fix=f"Start an agent: python manage.py rqworker {spoken_name(queue)}",
    )


def _agents_busy(run: FlowRun, holders: list[dict[str, Any]], position: int) -> Reason:
    named, more = holders[:HOLDERS_NAMED], len(holders) - HOLDERS_NAMED
    names = ", ".join(holder["name"] for holder in named) + (f" and {more} more" if more > 0 else "")
    place = f"number {position}" if position <= POSITIONS_COUNTED else f"beyond number {POSITIONS_COUNTED}"
    return _reason(
        "agents_busy",
        f"All agents of its queue are busy with {names}. It is {place} in the queue.",
        _link("flow_run", holders[0]["id"]),
        since=run.expected_start_time,
        position=position,
        fix="Start another agent, or wait.",
        holders=[{"kind": "flow_run", "id": str(holder["id"]), "name": holder["name"]} for holder in named],
    )


def _position(run: FlowRun, now: datetime) -> int:
    """The place in the queue, in the order of claims; counted no further than 1,000."""
    sooner = Q(priority=run.priority, expected_start_time__lt=run.expected_start_time)
    ahead = FlowRun.objects.filter(
        Q(priority__gt=run.priority, expected_start_time__lte=now) | sooner,
        work_queue=run.work_queue,
        state_type=StateType.SCHEDULED,
        lease_expires=None,
    ).exclude(deployment__paused=True)
    return ahead[:POSITIONS_COUNTED].count() + 1


def _of_scheduler(now: datetime) -> Iterator[Reason]:
    last = ServiceStatus.objects.filter(name="sweep").aggregate(last=Max("last_success"))["last"]
    if last is not None and now - last <= SCHEDULER_BEHIND_AFTER:
        return
    ago = f"has not worked for {_span(now - last)}" if last else "has never run"
    text = f"The scheduler {ago}: nothing rings for runs that become due."
    yield _reason("scheduler_behind", text, since=last, fix="Start it: python manage.py scheduler")


def _picked(run: FlowRun) -> Reason:
    assert run.agent is not None
    text = f"Agent {run.agent.name} on {run.agent.hostname} took it and is starting its process."
    return _reason("picked_by_agent", text, _link("agent", run.agent.id), since=run.claimed_time)


def _cancelling(run: FlowRun) -> Reason:
    grace = settings.PORTAL_CANCEL_GRACE_SECONDS
    asked = _moment(run.state_timestamp)
    text = f"It was asked to stop at {asked}, and is killed if it still runs {grace:g} s later."
    return _reason("cancelling", text, _link("flow_run", run.id), since=run.state_timestamp)


def _paused(run: FlowRun) -> Reason:
    with DjangoSession().transaction() as tx:
        pause = pause_of(tx, run.id)
    asks = pause is not None and pause.schema is not None
    text = f"It is {run.state_name.lower()} until somebody {'answers it' if asks else 'resumes it'}"
    text += f", and fails at {_moment(run.pause_expires)}." if run.pause_expires else "."
    fix = "Fill in the form on its page, or send its input to the API." if asks else "Resume the run."
    return _reason("paused", text, since=run.state_timestamp, fix=fix)


def _starting_now(run: FlowRun) -> Reason:
    return _reason("starting_now", "Nothing holds it: it starts now.", since=run.expected_start_time)


def _moment(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _span(span: timedelta) -> str:
    """A span in its largest unit: `3 h`, `20 min`, `5 s`."""
    seconds = max(0, round(span.total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
