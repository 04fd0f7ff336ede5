"""What is around runs that wait: read when a reason first needs it, and then once for all of these runs."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import F, Func, Max, Q, UUIDField

from agents.claimable import MISSED, PLANNED, SCHEDULER_AWAY
from agents.models import Agent, ServiceStatus, Worker, WorkQueue
from agents.reasons import POSITIONS_COUNTED
from agents.registry import online_agents
from agents.services.database import database_time
from flows.models import Schedule
from runs.models import Errand, FlowRun, Slot, Waiter
from runs.models.flow_run import UNDER_WAY, StateType

MISSED_AMONG = f"WITH {PLANNED} SELECT r.id FROM runs_flowrun r WHERE r.id = ANY(%s) AND {MISSED}"
ASKING = """
SELECT r.id FROM runs_flowrun r
JOIN runs_flowrunstate s ON s.id = r.state_id
JOIN runs_runinput i ON i.flow_run_id = r.id AND i.key = s.state_details -> 'run_input_keyset' ->> 'schema'
WHERE r.id = ANY(%s)
"""
MOST_HOLDERS = 10 * POSITIONS_COUNTED

Holder = dict[str, Any]  # a run that is in the way: its `id` and `name`, and what it holds


class Surroundings:
    """The facts about `runs` that their own rows do not hold, in a number of queries that does not grow.

    `counts_places`: reasons tell places in line, too, which takes queries for each run.
    """

    def __init__(self, runs: Sequence[FlowRun], *, counts_places: bool) -> None:
        self.counts_places = counts_places
        self._runs = runs
        self._queues = {run.work_queue.id: run.work_queue for run in runs if run.work_queue}

    @cached_property
    def now(self) -> datetime:
        return database_time()

    @cached_property
    def scheduler_worked(self) -> datetime | None:
        """When a scheduler last rang; None: never."""
        rang = ServiceStatus.objects.filter(name="sweep").aggregate(last=Max("last_success"))
        last: datetime | None = rang["last"]
        return last

    @cached_property
    def schedules(self) -> Mapping[UUID, Schedule]:
        ids = {run.schedule_id for run in self._runs if run.schedule_id}
        found = Schedule.objects.select_related("calendar").filter(id__in=ids)
        return {schedule.id: schedule for schedule in found}

    @cached_property
    def missed(self) -> frozenset[UUID]:
        """The runs that claims leave to the missed-runs policy of their schedule."""
        before = self.now - SCHEDULER_AWAY
        return _those(
            MISSED_AMONG, (r.id for r in self._runs if r.schedule_id and r.expected_start_time <= before)
        )

    @cached_property
    def asking(self) -> frozenset[UUID]:
        """The paused runs that want an answer."""
        return _those(ASKING, (run.id for run in self._runs if run.state_type == StateType.PAUSED))

    # Limits above the runs

    def under_way(self, what: str, id: UUID) -> list[Holder]:
        """What holds slots of this `deployment`, `queue` or `pool`, which has a limit; the oldest first."""
        return self._under_way[what, id]

    @cached_property
    def _under_way(self) -> Mapping[tuple[str, UUID], list[Holder]]:
        deployments = {run.deployment_id for run in self._runs if _is_limited(run.deployment)}
        queues = {queue.id for queue in self._queues.values() if _is_limited(queue)}
        pools = {queue.work_pool_id for queue in self._queues.values() if _is_limited(queue.work_pool)}
        below = Q(deployment__in=deployments) | Q(work_queue__in=queues) | Q(work_queue__work_pool__in=pools)
        found = FlowRun.objects.filter(UNDER_WAY, below).order_by("claimed_time", "id")
        holders: dict[tuple[str, UUID], list[Holder]] = defaultdict(list)
        for row in found.values(
            "id", "name", "deployment_id", queue_id=F("work_queue_id"), pool_id=F("work_queue__work_pool_id")
        )[:MOST_HOLDERS]:
            for what in ("deployment", "queue", "pool"):
                holders[what, row[f"{what}_id"]].append(row)
        return holders

    # Who could take the runs

    def agents(self, queue: WorkQueue) -> dict[UUID, list[UUID]]:
        """The agents online that serve the queue, each with all queues that it serves."""
        return {id: queues for id, queues in self._agents.items() if queue.id in queues}

    def last_agent(self, queue: WorkQueue) -> Agent | None:
        """The agent that served the queue last."""
        return self._last_agents.get(queue.id)

    def busy(self, agents: Iterable[UUID]) -> list[Holder]:
        """What these agents execute, the oldest first."""
        those = set(agents)
        return [holder for holder in self._busy if holder["agent_id"] in those]

    def carrying_out(self, agents: Iterable[UUID]) -> frozenset[UUID]:
        """Those of these agents that carry out tasks for other processes."""
        return self._carrying_out & set(agents)

    def workers(self, pool_id: UUID) -> list[Worker]:
        """The Prefect workers of the pool, who was heard of last at the end."""
        return self._workers[pool_id]

    @cached_property
    def _agents(self) -> dict[UUID, list[UUID]]:
        return dict(online_agents(*self._queues).values_list("id", "queues"))

    @cached_property
    def _last_agents(self) -> Mapping[UUID, Agent]:
        served = Func(F("queues"), function="unnest", output_field=UUIDField())
        ever = Agent.objects.filter(queues__overlap=list(self._queues)).annotate(served=served)
        last = ever.order_by("served", "-last_seen").distinct("served")
        return {agent.served: agent for agent in last}

    @cached_property
    def _busy(self) -> list[Holder]:
        held = FlowRun.objects.filter(agent__in=self._agents, leased=True).order_by("claimed_time")
        return list(held.values("id", "name", "agent_id", "workspace_id"))

    @cached_property
    def _carrying_out(self) -> frozenset[UUID]:
        errands = Errand.objects.filter(
            agent_id__in=self._agents, holder__isnull=False, ended=None, lease_expires__gt=self.now
        )
        return frozenset(errands.values_list("agent_id", flat=True))

    @cached_property
    def _workers(self) -> Mapping[UUID, list[Worker]]:
        found: dict[UUID, list[Worker]] = defaultdict(list)
        pools = {queue.work_pool_id for queue in self._queues.values()}
        for worker in Worker.objects.filter(work_pool__in=pools).order_by("last_heartbeat_time"):
            found[worker.work_pool_id].append(worker)
        return found

    # Slots that the code of running runs wants

    def slot_waits(self, run: FlowRun) -> list[tuple[Waiter, int]]:
        """What the run waits for inside `concurrency()` or `rate_limit()`, each with its place in line."""
        return [each for each in self._lines if each[0].flow_run_id == run.id]

    def slot_holders(self, limit_id: UUID) -> list[Holder]:
        """The runs that hold slots of a limit for which one of the runs waits."""
        return self._slot_holders[limit_id]

    @cached_property
    def _lines(self) -> list[tuple[Waiter, int]]:
        """The lines in which the runs stand."""
        running = [run.id for run in self._runs if run.state_type == StateType.RUNNING]
        wanted = Waiter.objects.filter(flow_run__in=running).values("limit")
        places: dict[UUID, int] = defaultdict(int)
        lines = []
        for waiter in Waiter.present().filter(limit__in=wanted).select_related("limit"):
            places[waiter.limit_id] += 1
            lines.append((waiter, places[waiter.limit_id]))
        return lines

    @cached_property
    def _slot_holders(self) -> Mapping[UUID, list[Holder]]:
        holders: dict[UUID, list[Holder]] = defaultdict(list)
        limits = {waiter.limit_id for waiter, _ in self._lines}
        held = Slot.held().filter(limit__in=limits, flow_run__isnull=False)
        for limit_id, id, name in held.values_list("limit_id", "flow_run_id", "flow_run__name"):
            holders[limit_id].append({"id": id, "name": name})
        return holders


def _is_limited(thing: Any) -> bool:
    return thing is not None and bool(thing.concurrency_limit)


def _those(sql: str, ids: Iterable[UUID]) -> frozenset[UUID]:
    asked = list(ids)
    if not asked:
        return frozenset()
    with connection.cursor() as cursor:
        cursor.execute(sql, [asked])
        return frozenset(id for (id,) in cursor.fetchall())
