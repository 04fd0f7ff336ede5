"""Queue names, and who is online."""

from datetime import UTC, datetime, timedelta

import pytest

from agents.models import Agent, WorkPool, WorkQueue
from agents.registry import BadQueueNameError, Identity, beat, online_agents, resolve, sign_off
from flows.models import Workspace
from runs.session import DjangoSession
from tests.factories import make_queue

pytestmark = pytest.mark.django_db

SESSION = DjangoSession()


def path_of(queue: WorkQueue) -> str:
    pool = queue.work_pool
    return f"{pool.workspace.name}/{pool.name}/{queue.name}"


def test_a_bare_name_is_a_queue_of_the_default_pool() -> None:
    assert path_of(resolve("nightly")) == "default/default/nightly"


def test_a_name_may_say_pool_and_workspace() -> None:
    acme = Workspace.objects.create(name="acme")
    WorkPool.objects.create(workspace=acme, name="etl")
    assert path_of(resolve("acme/etl/nightly")) == "acme/etl/nightly"
    assert path_of(resolve("etl/nightly", workspace="acme")) == "acme/etl/nightly"
    assert path_of(resolve("nightly", workspace="acme")) == "acme/default/nightly"


def test_an_unknown_queue_is_made_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="agents")
    assert resolve("nightly") == resolve("nightly")
    assert [record.message for record in caplog.records] == [
        "Made work queue default/default/nightly, which did not exist"
    ]


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("a/b/c/d", "at most three parts"),
        ("no:colon", "Use letters"),
        ("", "Use letters"),
        ("etl/nightly", "there is no work pool 'etl'"),
        ("acme/etl/nightly", "there is no workspace 'acme'"),
    ],
)
def test_a_name_that_cannot_be_says_what_is_wrong(name: str, complaint: str) -> None:
    with pytest.raises(BadQueueNameError, match=complaint):
        resolve(name)
    assert not WorkQueue.objects.exists()


def test_an_agent_is_online_while_it_beats() -> None:
    queue = make_queue()
    agent = Identity(name="agent", queue_ids=(queue.id,))
    beat(SESSION, agent)
    beat(SESSION, agent)
    assert [found.id for found in online_agents(queue.id)] == [agent.id]
    assert not online_agents(make_queue("another").id)

    Agent.objects.update(last_seen=datetime.now(UTC) - timedelta(seconds=21))
    assert not online_agents(queue.id)


def test_an_agent_that_stopped_is_not_online() -> None:
    queue = make_queue()
    agent = Identity(name="agent", queue_ids=(queue.id,))
    beat(SESSION, agent)
    sign_off(SESSION, agent)
    assert not online_agents(queue.id)
