"""1,000 schedules that are due in the same second: until the last of their runs is rung for."""

import os
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.bench.figures import Figure
from tests.processes import RunningStack, wait_until

SCHEDULES = 1_000
QUEUES = 50
# Only rings that an agent could answer are owed: rows of agents that answer none stand in for them.
AGENTS = SCHEDULES // QUEUES


def measure(folder: Path) -> list[Figure]:
    from agents.services.database import database_time
    from runs.models import FlowRun

    due = (database_time() + timedelta(seconds=25)).replace(microsecond=0)
    queues = _schedules_due_at(due)
    stack = RunningStack(os.environ["DATABASE_URL"], os.environ["REDIS_URL"], folder)
    try:
        for _ in range(2):
            stack.start("scheduler").wait_for("Scheduler started")
        runs = FlowRun.objects.filter(slot=due, work_queue__in=queues)
        wait_until(lambda: runs.count() == SCHEDULES, 24, what="all runs are made ahead")
        _keep_agents(queues, due)
        time.sleep(max(0.0, (due - database_time()).total_seconds() - 0.05))
        wait_until(lambda: sum(_rings(queues)) >= SCHEDULES, what="all are rung for")
        took = (database_time() - due).total_seconds()
        time.sleep(2.5)
        rings = sum(_rings(queues))
    finally:
        stack.stop()
    twice = [slot for slot, count in Counter(runs.values_list("schedule_id", flat=True)).items() if count > 1]
    assert not twice and runs.count() == SCHEDULES
    name = f"{SCHEDULES} schedules due at once: due -> the last is rung for"
    return [Figure(name, f"{took * 1e3:.0f} ms, {rings} rings for {SCHEDULES} runs", "<= 1 s, none twice")]


def _schedules_due_at(due: Any) -> list[Any]:
    from flows.models import Schedule
    from tests.factories import make_deployment, make_queue

    queues = [make_queue(f"burst-{number}") for number in range(QUEUES)]
    daily = timedelta(days=1)
    for queue in queues:
        deployment = make_deployment(f"burst-{queue.name}", "burst", queue)
        Schedule.objects.bulk_create(
            Schedule(deployment=deployment, interval=daily, anchor_date=due) for _ in range(AGENTS)
        )
    return queues


def _keep_agents(queues: list[Any], now: Any) -> None:
    from agents.models import Agent

    Agent.objects.bulk_create(
        Agent(
            name=f"a{n}",
            hostname="h",
            pid=n,
            started=now,
            last_seen=now + timedelta(minutes=1),
            queues=[q.id],
        )
        for q in queues
        for n in range(AGENTS)
    )


def _rings(queues: list[Any]) -> list[int]:
    from agents import doorbell
    from agents.services.sweeper import pending_rings

    return pending_rings([doorbell.list_name("default", "default", queue.name) for queue in queues])
