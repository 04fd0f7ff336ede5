"""Why a run is not running: what it waits for, who holds it, and how to help.

The reasons are read off the same rows, by the same conditions, as a claim reads them.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import chain
from uuid import UUID

from django.conf import settings

from agents.due import not_due
from agents.models import WorkQueue
from agents.models.work_pool import CLAIMED_BY_AGENTS
from agents.reasons import Reason, link, moment, reason, span
from agents.surroundings import Surroundings
from agents.waiting_agents import of_agents
from agents.waiting_prefect import cancelled_by_prefect, is_with_prefect, picked_by_prefect
from agents.waiting_slots import of_limits, of_server, of_slots, of_workers
from flows.models import Deployment
from runs.models import FlowRun
from runs.models.flow_run import TERMINAL, StateType
from runs.quarantine import is_in_quarantine

SCHEDULER_BEHIND_AFTER = timedelta(seconds=20)
# What a run must have been loaded with, for its reasons to be told without a query for each.
NEEDED = ("deployment", "agent", "work_queue__work_pool__workspace")


def waiting_on(run: FlowRun) -> list[Reason]:
    """What `run` waits for, the most important first; empty if it has ended, or runs and waits for no slot.

    Every other run has at least one reason.
    """
    return list(_reasons(run, Surroundings([run], counts_places=True)))


def first_reasons(runs: Sequence[FlowRun]) -> Mapping[UUID, Reason]:
    """For each of the runs that waits, the first of what it waits for, without its place in line.

    For lists: the number of queries does not grow with that of the runs, which must be loaded with NEEDED.
    """
    around = Surroundings(runs, counts_places=False)
    first = {run.id: next(_reasons(run, around), None) for run in runs}
    return {id: reason for id, reason in first.items() if reason is not None}


def _reasons(run: FlowRun, around: Surroundings) -> Iterator[Reason]:
    if run.state_type in TERMINAL:
        return
    if run.state_type == StateType.RUNNING:
        yield from of_slots(run, around)
    elif run.state_type == StateType.SCHEDULED:
        yield from _of_scheduled(run, around)
    elif run.state_type == StateType.PENDING:
        yield _picked(run)
    else:
        yield _cancelling(run) if run.state_type == StateType.CANCELLING else _paused(run, around)


def _of_scheduled(run: FlowRun, around: Surroundings) -> Iterator[Reason]:
    reasons = _of_row_and_work(run, around)
    if not _has_its_process(run):
        reasons = chain(reasons, _of_scheduler(around))
    yield next(reasons, None) or _starting_now(run)
    yield from reasons


def _of_row_and_work(run: FlowRun, around: Surroundings) -> Iterator[Reason]:
    due = run.expected_start_time <= around.now or run.state_name == "AwaitingConcurrencySlot"
    if not due:
        yield _not_due_yet(run, around)
    if _has_its_process(run):
        return
    paused = list(_pauses(run))
    yield from paused
    if run.work_queue is None:
        yield _no_queue(run, around)
    elif due and not paused:
        yield from _of_work(run, run.work_queue, around)


def _has_its_process(run: FlowRun) -> bool:
    """Whether it is tried again where it ran: no switch, queue or scheduler has to do with that."""
    return run.lease_expires is not None or run.root_run_id is not None


def _of_work(run: FlowRun, queue: WorkQueue, around: Surroundings) -> Iterator[Reason]:
    """Why a run that is due, and held back by no switch, is not taken."""
    if run.id in around.missed:
        yield _missed(run)
        return
    limited = list(of_limits(run, queue, around))
    yield from limited
    if queue.work_pool.type not in CLAIMED_BY_AGENTS:
        yield of_workers(run, queue.work_pool, around)
    else:
        yield from of_agents(run, queue, around, may_start=not limited)


def _missed(run: FlowRun) -> Reason:
    assert run.schedule_id is not None
    text = "It became due while no scheduler worked. The next one decides, by the policy of its schedule for "
    text += "missed runs, whether it still runs."
    fix = "Start a scheduler: python manage.py scheduler"
    return reason("missed", text, link("schedule", run.schedule_id), since=run.expected_start_time, fix=fix)


def _no_queue(run: FlowRun, around: Surroundings) -> Reason:
    if run.deployment is None:
        text = "It belongs to no work queue: no agent will start it. Whoever made it reports its states."
        return reason("no_queue", text, since=run.created)
    if run.deployment.work_queue_id is None:
        return _missed(run) if run.id in around.missed else of_server(run, run.deployment, around)
    text = "Its work queue was deleted, so no agent finds it."
    fix = "Cancel it, and run its deployment again."
    return reason("queue_deleted", text, link("deployment", run.deployment.id), fix=fix)


def _not_due_yet(run: FlowRun, around: Surroundings) -> Reason:
    when = f"{moment(run.expected_start_time)}, in {span(run.expected_start_time - around.now)}"
    if run.state_name == "AwaitingRetry":
        text = f"It failed and will be tried again at {when}."
        return reason("retry_wait", text, link("flow_run", run.id), since=run.state_timestamp)
    schedule = around.schedules.get(run.schedule_id) if run.schedule_id else None
    code, text, of = not_due(run, schedule, when)
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


def _of_scheduler(around: Surroundings) -> Iterator[Reason]:
    now, last = around.now, around.scheduler_worked
    if last is not None and now - last <= SCHEDULER_BEHIND_AFTER:
        return
    ago = f"has not worked for {span(now - last)}" if last else "has never run"
    text = f"The scheduler {ago}: nothing rings for runs that become due."
    yield reason("scheduler_behind", text, since=last, fix="Start it: python manage.py scheduler")


def _picked(run: FlowRun) -> Reason:
    if is_with_prefect(run):
        return picked_by_prefect(run)
    if run.agent is None:
        return _starting_now(run)
    text = f"Agent {run.agent.name} on {run.agent.hostname} took it and is starting its process."
    return reason("picked_by_agent", text, link("agent", run.agent.id), since=run.claimed_time)


def _cancelling(run: FlowRun) -> Reason:
    if is_with_prefect(run):
        return cancelled_by_prefect(run)
    grace = settings.PORTAL_CANCEL_GRACE_SECONDS
    asked = moment(run.state_timestamp)
    text = f"It was asked to stop at {asked}, and is killed if it still runs {grace:g} s later."
    return reason("cancelling", text, link("flow_run", run.id), since=run.state_timestamp)


def _paused(run: FlowRun, around: Surroundings) -> Reason:
    asks = run.id in around.asking
    text = f"It is {run.state_name.lower()} until somebody {'answers it' if asks else 'resumes it'}"
    text += f", and fails at {moment(run.pause_expires)}." if run.pause_expires else "."
    fix = "Fill in the form on its page, or send its input to the API." if asks else "Resume the run."
    return reason("paused", text, since=run.state_timestamp, fix=fix)


def _starting_now(run: FlowRun) -> Reason:
    return reason("starting_now", "Nothing holds it: it starts now.", since=run.expected_start_time)
