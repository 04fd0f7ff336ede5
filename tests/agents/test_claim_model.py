"""Random Portals: what agents take is what the documented rules say, and who waits is told the true reason."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from random import Random

import pytest
from django.db import transaction

from agents.claim import claim, turn_taken
from agents.models import Agent
from agents.services.database import database_time
from agents.waiting import waiting_on
from flows.sdk.states import AwaitingRetry, Completed, Crashed, Running, State
from runs.models import FlowRun
from runs.session import DjangoSession
from runs.transition import transition
from tests.agents.claim_model import Rules, World
from tests.agents.services.builders import make_agent, report_success

pytestmark = pytest.mark.django_db(transaction=True)
import os
N = int(os.environ.get("WORLDS", "10"))
SEED0 = int(os.environ.get("SEED0", "0"))

SESSION = DjangoSession()


class Agents:
    """Agents that take runs and give them up, as the scenario's dice say."""

    def __init__(self, world: World) -> None:
        self.world, self.random = world, world.random
        self.agents = [self._agent(number) for number in range(3)]
        self.served = {agent.id: list[object]() for agent in self.agents}
        self.taken = 0

    def _agent(self, number: int) -> Agent:
        queues = self.random.sample(self.world.queues, self.random.randint(1, len(self.world.queues)))
        return make_agent(*queues, name=f"agent-{number}")

    def step(self) -> None:
        agent = self.random.choice(self.agents)
        rules = Rules.read(database_time(), self.served[agent.id])
        if rules.is_busy(agent):
            if self.random.random() < 0.5:
                self.give_up(agent)
            return
        expected = rules.next_ones(set(agent.queues))
        claimed = claim(SESSION, agent.id, agent.queues, self.served[agent.id])
        assert (claimed.run.id if claimed else None) in (expected or {None})
        if claimed:
            self.taken += 1
            self.served[agent.id] = turn_taken(self.served[agent.id], claimed.workspace_id)

    def give_up(self, agent: Agent) -> None:
        run = FlowRun.objects.get(agent=agent, lease_expires__isnull=False)
        for state in self.random.choice(ENDS):
            transition(SESSION, run.id, state(self.world.now), attempt=run.attempt)


ENDS = [
    [lambda now: Running()],
    [lambda now: Running(), lambda now: Completed()],
    [lambda now: Crashed()],
    [lambda now: Running(), lambda now: AwaitingRetry(now - timedelta(seconds=1))],
]


def assert_limits_hold(rules: Rules) -> None:
    for run in rules.runs:
        if run.work_queue and run.deployment and run.lease_expires:
            above = {"deployment": run.deployment, "queue": run.work_queue, "pool": run.work_queue.work_pool}
            for what, row in above.items():
                assert row.concurrency_limit is None or rules.holders(what, row) <= row.concurrency_limit


def assert_reasons_are_true(rules: Rules, agents: list[Agent]) -> None:
    for run in rules.runs:
        reasons = waiting_on(run)
        told = {each["code"] for each in reasons}
        if run.state_type in {"RUNNING", "COMPLETED", "CRASHED"}:
            assert told == set()
        elif run.state_type == "PENDING":
            assert told == {"picked_by_agent"}
        elif rules.waits(run):
            assert told == expected_codes(rules, run, agents) | (told & {"behind_priority", "workspace_share"})
            named = {holder["id"] for each in reasons for holder in each["holders"]}
            strangers = FlowRun.objects.filter(id__in=named).exclude(workspace=run.workspace)
            assert not strangers.exists()


def expected_codes(rules: Rules, run: FlowRun, agents: list[Agent]) -> set[str]:
    blocked = rules.blocked_by(run)
    if {"pool_type"} & blocked or blocked & {"not_due_yet", "deployment_paused", "queue_paused", "pool_paused"}:
        return blocked
    mine = [agent for agent in agents if run.work_queue_id in agent.queues]
    if not mine:
        return blocked | {"no_agent_online"}
    if blocked:
        return blocked
    return {"agents_busy"} if all(rules.is_busy(agent) for agent in mine) else {"starting_now"}


@pytest.mark.parametrize("seed", range(SEED0, SEED0 + N))
def test_random_portals(seed: int) -> None:
    report_success("sweep")
    world = World(Random(seed), database_time())
    world.build(runs=40)
    agents = Agents(world)
    for number in range(60):
        agents.step()
        if number % 15 == 14:
            rules = Rules.read(database_time(), [])
            assert_limits_hold(rules)
            assert_reasons_are_true(rules, agents.agents)
    print("taken", agents.taken)
