"""Reasons of runs that wait for an agent: none is there, or all have something else to do."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from uuid import UUID

from agents.models import Agent, WorkQueue
from agents.reasons import Reason, link, listing, moment, named, place, reason
from agents.registry import spoken_name
from agents.surroundings import Holder, Surroundings
from agents.waiting_lines import line_before, of_order
from runs.models import FlowRun


@dataclass(frozen=True, slots=True)
class Work:
    """What agents are at: `runs` of one workspace, and what is not to be named there."""

    runs: list[Holder]
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


def of_agents(run: FlowRun, queue: WorkQueue, around: Surroundings, may_start: bool) -> Iterator[Reason]:
    """Why no agent takes a run that is due. `may_start`: nothing else is in the way."""
    agents = around.agents(queue)
    if not agents:
        yield _no_agent_online(queue, around)
    if not agents or not may_start:
        return
    work = _work_of(agents, run.workspace_id, around)
    if work.busy_agents < len(agents):
        return
    line = line_before(run) if around.counts_places else None
    yield _agents_busy(run, work, line.length + 1 if line else None)
    if line:
        yield from of_order(run, line, {queue_id for queues in agents.values() for queue_id in queues})


def _work_of(agent_ids: Collection[UUID], workspace_id: UUID, around: Surroundings) -> Work:
    runs = around.busy(agent_ids)
    with_errands = around.carrying_out(agent_ids)
    mine = [each for each in runs if each["workspace_id"] == workspace_id]
    busy = with_errands | {each["agent_id"] for each in runs}
    return Work(mine, len(runs) - len(mine), len(with_errands), len(busy))


def _agents_busy(run: FlowRun, work: Work, position: int | None) -> Reason:
    assert run.work_queue_id is not None
    text = f"All agents of its queue are busy with {work.in_words()}."
    return reason(
        "agents_busy",
        f"{text} It is {place(position)} in the queue." if position else text,
        link("flow_run", work.runs[0]["id"]) if work.runs else link("work_queue", run.work_queue_id),
        since=run.expected_start_time,
        position=position,
        fix="Start another agent, or wait.",
        holders=named(work.runs),
    )


def _no_agent_online(queue: WorkQueue, around: Surroundings) -> Reason:
    last = around.last_agent(queue)
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
