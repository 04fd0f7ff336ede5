"""Rows that the scheduler's loops look at."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

from agents.models import Agent, ServiceStatus, WorkQueue
from agents.services.database import database_time
from flows.models import Deployment, Schedule
from tests.factories import make_deployment, make_queue


def fresh_queue() -> WorkQueue:
    """A queue that no other test has rung."""
    return make_queue(name=f"q-{uuid4().hex[:8]}")


def make_agent(*queues: WorkQueue, seen: timedelta = timedelta(), **fields: Any) -> Agent:
    """An agent that serves these queues and was seen so long ago."""
    now = database_time()
    fields = {"name": "anna", "hostname": "mill", "pid": 1, "started": now, **fields}
    return Agent.objects.create(last_seen=now - seen, queues=[queue.id for queue in queues], **fields)


def make_schedule(deployment: Deployment | None = None, **fields: Any) -> Schedule:
    """A schedule that was made long ago."""
    deployment = deployment or make_deployment(name=f"d-{uuid4().hex[:8]}")
    schedule = Schedule.objects.create(deployment=deployment, **fields)
    age(schedule)
    return schedule


def age(schedule: Schedule) -> None:
    """Let the schedule and its deployment be unchanged for years."""
    long_ago = database_time() - timedelta(days=3650)
    Schedule.objects.filter(id=schedule.id).update(updated=long_ago)
    Deployment.objects.filter(id=schedule.deployment_id).update(updated=long_ago)


def report_success(loop: str, ago: timedelta = timedelta()) -> None:
    """Say that this loop of some scheduler last worked so long ago."""
    ServiceStatus.objects.create(name=loop, hostname="mill", pid=1, last_success=database_time() - ago)
