"""What the claim has to do, said once more in plain Python: for random states of a Portal.

The model knows nothing of the SQL. It reads all rows and answers who may be taken next, and why others
may not.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from agents.models import Agent, WorkPool, WorkQueue
from flows.models import Deployment, Workspace
from runs.models import FlowRun
from runs.models.flow_run import NEXT
from tests.factories import make_deployment, make_queue

MINUTE = timedelta(minutes=1)
LEVEL = 5 * MINUTE
UNDER_WAY = {"PENDING", "RUNNING", "CANCELLING"}


def limit(random: Random) -> int | None:
    return random.choice([None, None, 0, 1, 2, 3])


def seldom(random: Random) -> bool:
    return random.random() < 0.15


@dataclass
class World:
    """The rows of a random Portal: two workspaces, their pools, queues and deployments, and many runs."""

    random: Random
    now: datetime
    queues: list[WorkQueue] = field(default_factory=list)
    deployments: list[Deployment] = field(default_factory=list)

    def build(self, runs: int) -> None:
        for name in ("default", f"other-{self.random.random()}"):
            workspace, _ = Workspace.objects.get_or_create(name=name)
            for pool in ("default", "gpu"):
                self._build_pool(workspace, pool)
        for _ in range(runs):
            self.add_run()

    def _build_pool(self, workspace: Workspace, name: str) -> None:
        kind = self.random.choices(["agents", "process", "prefect"], [6, 2, 1])[0]
        for queue_name in self.random.sample(["default", "fast", "slow"], self.random.randint(1, 2)):
            queue = make_queue(queue_name, name, workspace)
            queue.priority = self.random.randint(1, 3)
            queue.paused = seldom(self.random)
            queue.concurrency_limit = limit(self.random)
            queue.save()
            self.queues.append(queue)
            for number in range(2):
                self.deployments.append(
                    make_deployment(
                        f"{name}-{queue_name}-{number}", queue=queue, paused=seldom(self.random),
                        concurrency_limit=limit(self.random),
                    )
                )  # fmt: skip
        WorkPool.objects.filter(workspace=workspace, name=name).update(
            type=kind, paused=seldom(self.random), concurrency_limit=limit(self.random)
        )

    def add_run(self) -> FlowRun:
        deployment = self.random.choice(self.deployments)
        due = self.now - self.random.choice([-30, 0, 1, 3, 7, 12, 40]) * MINUTE
        due -= timedelta(milliseconds=self.random.randint(0, 999))
        priority = self.random.choice([0, 0, 0, 1, 2, 10, -1, -10, NEXT])
        return FlowRun.objects.create(
            workspace=deployment.workspace, flow=deployment.flow, deployment=deployment,
            work_queue=deployment.work_queue, name=f"run-{self.random.randint(0, 10**6)}", priority=priority,
            state_timestamp=self.now, expected_start_time=due,
        )  # fmt: skip


def place(run: FlowRun) -> tuple[int, datetime]:
    """Where a run stands in its queue: before all that were not put first, if it was."""
    if run.priority == NEXT:
        return (0, run.expected_start_time)
    return (1, run.expected_start_time - run.priority * LEVEL)


def limited(run: FlowRun) -> dict[str, Any]:
    """What may be paused and limited above a run."""
    assert run.deployment is not None and run.work_queue is not None
    return {"deployment": run.deployment, "queue": run.work_queue, "pool": run.work_queue.work_pool}


def above(run: FlowRun) -> dict[str, Any]:
    return {**limited(run), "workspace": run.workspace}


@dataclass
class Rules:
    """The documented rules, over rows that were read once."""

    now: datetime
    runs: list[FlowRun]
    served: list[UUID]

    @classmethod
    def read(cls, now: datetime, served: list[UUID]) -> "Rules":
        runs = FlowRun.objects.select_related("deployment", "workspace", "work_queue__work_pool__workspace")
        return cls(now, list(runs), served)

    def holders(self, what: str, row: Any) -> int:
        """How many runs have a slot of this deployment, queue, pool or workspace."""
        live = (run for run in self.runs if run.lease_expires is not None or run.state_type in UNDER_WAY)
        return sum(above(run)[what] == row for run in live)

    def waits(self, run: FlowRun) -> bool:
        return run.state_type == "SCHEDULED" and run.lease_expires is None

    def blocked_by(self, run: FlowRun) -> set[str]:
        """The codes of all that keeps the run from being taken, whichever agents there are."""
        assert run.work_queue is not None
        limiting = limited(run)
        found = {f"{what}_paused" for what, row in limiting.items() if row.paused}
        if run.expected_start_time > self.now:
            return found | {"not_due_yet"}
        if found:
            return found
        for what, row in limiting.items():
            if row.concurrency_limit == 0:
                found.add("limit_zero")
            elif row.concurrency_limit is not None and self.holders(what, row) >= row.concurrency_limit:
                found.add(f"{what}_limit")
        return found | ({"pool_type"} if run.work_queue.work_pool.type == "prefect" else set())

    def next_ones(self, queue_ids: set[UUID]) -> set[UUID]:
        """The runs that an agent of these queues may take next: more than one only if they are equal."""
        mine = [run for run in self.runs if run.work_queue_id in queue_ids]
        free = [run for run in mine if self.waits(run) and not self.blocked_by(run)]
        first = min(map(self.turn, free), default=None)
        return {run.id for run in free if self.turn(run) == first}

    def turn(self, run: FlowRun) -> tuple[Any, ...]:
        assert run.work_queue is not None
        workspace = run.work_queue.work_pool.workspace
        turn = self.served.index(workspace.id) if workspace.id in self.served else -1
        return self.holders("workspace", workspace), turn, run.work_queue.priority, place(run)

    def is_busy(self, agent: Agent) -> bool:
        return any(run.agent_id == agent.id and run.lease_expires for run in self.runs)
