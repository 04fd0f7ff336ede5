"""The page of agents."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from agents.models import Agent
from runs.models import FlowRun
from tests.factories import make_deployment, make_queue, make_run

pytestmark = pytest.mark.django_db


def make_agent(name: str, **fields: Any) -> Agent:
    now = datetime.now(UTC)
    return Agent.objects.create(
        **{
            "name": name,
            "hostname": "build-7",
            "pid": 41,
            "version": "1.2",
            "python": "3.13.1",
            "queues": [make_queue("nightly").id],
            "started": now,
            "last_seen": now,
            **fields,
        }
    )


def test_the_page_says_who_is_there_and_what_they_do(superuser: Client) -> None:
    now = datetime.now(UTC)
    busy = make_agent("busy", draining=now)
    run = make_run(make_deployment(queue=make_queue("nightly")), name="crunch")
    FlowRun.objects.filter(id=run.id).update(
        agent=busy, state_type="RUNNING", lease_expires=now + timedelta(seconds=9)
    )
    make_agent("gone", stopped=now)
    make_agent("lost", last_seen=now - timedelta(minutes=1))
    make_agent("strange", refused="The database is newer than this agent.", stopped=now)

    page = superuser.get("/admin/agents/agent/").content.decode()

    for text in ("draining", "stopped", "silent", "refused", "The database is newer than this agent."):
        assert text in page
    assert f"/admin/runs/flowrun/{run.id}/" in page
    for text in ("crunch", "nightly", "build-7", "1.2", "Python 3.13.1"):
        assert text in page
