"""Reasons of runs that wait for an agent: none is there, or all have something else to do."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models.functions import Now

from agents.models import Agent, WorkQueue
from agents.reasons import Reason, link, listing, moment, named, place, reason
from agents.registry import online_agents, spoken_name
from agents.waiting_lines import line_before, of_order
from runs.models import Errand, FlowRun


@dataclass(frozen=True, slots=True)
class Work:
    """What agents are at: `runs` of one workspace, and what is not to be named there."""

    runs: list[dict[str, Any]]
    foreign_runs: int
    errands: int
    busy_agents: int

    def in_words(self) -> str:
        """For a sentence. What other workspaces run is none of this one's business, but for its number."""
        others = f"{self.foreign_runs} run{'s' if self.foreign_runs > 1 else ''} of other workspaces"
        parts = [listing(self.runs)] if self.runs else []
        parts += [others] if self.foreign_runs else []
        parts += ["tasks that other processes have given them"] if self.errands else []
        return " and ".join(parts)


def of_agents(run: FlowRun, queue: WorkQueue, may_start: bool) -> Iterator[Reason]:
    """Why no agent takes a run that is due. `may_start`: nothing else is in the way."""
    agents = dict(online_agents(queue.id).values_list("id", "queues"))
    if not agents:
        yield _no_agent_online(queue)
    if not agents or not may_start:
        return
    work = _work_of(agents, run.workspace_id)
    if work.busy_agents == len(agents):
        line = line_before(run)
        yield _agents_busy(run, work, line.length + 1)
        yield from of_order(run, line, {queue_id for queues in agents.values() for queue_id in queues})


def _work_of(agent_ids: Collection[UUID], workspace_id: UUID) -> Work:
    held = FlowRun.objects.filter(agent__in=agent_ids, lease_expires__isnull=False).order_by("claimed_time")
    runs = list(held.values("id", "name", "agent_id", "workspace_id"))
    carried_out = Errand.objects.filter(
        agent_id__in=agent_ids, holder__isnull=False, ended=None, lease_expires__gt=Now()
    )
    with_errands = set(carried_out.values_list("agent_id", flat=True))
    mine = [each for each in runs if each["workspace_id"] == workspace_id]
    busy = with_errands | {each["agent_id"] for each in runs}
    return Work(mine, len(runs) - len(mine), len(with_errands), len(busy))


def _agents_busy(run: FlowRun, work: Work, position: int) -> Reason:
    assert run.work_queue_id is not None
    return reason(
        "agents_busy",
        f"All agents of its queue are busy with {work.in_words()}. It is {place(position)} in the queue.",
        link("flow_run", work.runs[0]["id"]) if work.runs else link("work_queue", run.work_queue_id),
        since=run.expected_start_time,
        position=position,
        fix="Start another agent, or wait.",
        holders=named(work.runs),
    )


def _no_agent_online(queue: WorkQueue) -> Reason:
    last = Agent.objects.filter(queues__contains=[queue.id]).order_by("-last_seen").first()
    return reason(
        "no_agent_online",
        f"No agent serves queue '{queue.name}'{_became_of(last)}",
        link("agent", last.id) if last else link("work_queue", queue.id),
        since=(last.stopped or last.draining or last.last_seen) if last else None,
        fix=f"Start an agent: python manage.py rqworker {spoken_name(queue)}",
    )


def _became_of(last: Agent | None) -> str:
    """What became of the agent that was there last, to end the sentence."""
    if last is None:
        return ", and none ever did."
    who = f"{last.name} on {last.hostname}"
    if last.refused:
        return f". {who} wanted to, and was refused at {moment(last.last_seen)}: {last.refused}"
    if last.draining and not last.stopped:
        return f". {who} is stopping, and takes no more runs."
    return f". The last one was {who}, seen {moment(last.last_seen)}."
