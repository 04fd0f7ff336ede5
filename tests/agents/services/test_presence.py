"""Agents that come, stop, are lost and come back make one event each time."""

from datetime import timedelta

import pytest

from agents.models import Agent
from agents.registry import OFFLINE_AFTER
from agents.services.database import database_time
from agents.services.presence import tell_of_agents
from runs.models import Event
from tests.agents.services.builders import make_agent
from tests.factories import make_queue

pytestmark = pytest.mark.django_db


def told() -> list[str]:
    events = Event.objects.filter(event__startswith="portal.agent").order_by("occurred")
    return [event.event.removeprefix("portal.agent.") for event in events]


def test_the_life_of_an_agent() -> None:
    now = database_time()
    agent = make_agent(make_queue())
    tell_of_agents(now)
    tell_of_agents(now)
    tell_of_agents(now + 2 * OFFLINE_AFTER)
    tell_of_agents(now)
    Agent.objects.filter(id=agent.id).update(stopped=now)
    tell_of_agents(now)

    assert told() == ["online", "lost", "online", "stopped"]


def test_an_agent_that_was_gone_before_anybody_looked_is_no_news() -> None:
    make_agent(make_queue())
    tell_of_agents(database_time() + timedelta(hours=1))

    assert told() == []


def test_the_event_names_the_agent_and_its_host() -> None:
    agent = make_agent(make_queue())
    tell_of_agents(database_time())

    event = Event.objects.get(event="portal.agent.online")
    assert event.resource["prefect.resource.name"] == agent.name
    assert event.payload["hostname"] == agent.hostname
    assert event.workspace_id == make_queue().work_pool.workspace_id
