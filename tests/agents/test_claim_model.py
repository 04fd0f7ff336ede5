"""Random Portals: agents take what the documented rules say, and who waits is told the true reason."""

from collections.abc import Callable
from datetime import datetime, timedelta
from random import Random
from uuid import UUID

import pytest

from agents.claim import claim, turn_taken
from agents.models import Agent
from agents.services.database import database_time
from agents.waiting import waiting_on
from flows.sdk.states import AwaitingRetry, Completed, Crashed, Running, State
from runs.models import FlowRun
from runs.session import DjangoSession
from runs.transition import transition
from tests.agents.claim_model import Rules, World, limited
from tests.agents.services.builders import make_agent, report_success

# Each claim has a transaction of its own, and with it a "now" of its own.
pytestmark = pytest.mark.django_db(transaction=True)

SESSION = DjangoSession()
SECOND = timedelta(seconds=1)
STEPS = 45

# How an agent gives up a run: the states that its process proposes. The first stays in it.
ENDS: list[list[Callable[[datetime], State]]] = [
    [lambda now: Running()],
    [lambda now: Running(), lambda now: Completed()],
    [lambda now: Crashed()],
    [lambda now: Running(), lambda now: AwaitingRetry(now - SECOND)],
]
WAITS_FOR_NOBODY = {"not_due_yet", "deployment_paused", "queue_paused", "pool_paused", "pool_type"}
# Nobody falls silent meanwhile, however slow the machine is.
A_WHILE = timedelta(hours=1)
WHO_GOES_FIRST = {"behind_priority", "workspace_share"}


class Agents:
    """Three agents that take runs and give them up, as the dice say."""

    def __init__(self, world: World) -> None:
        self.world, self.random = world, world.random
        self.agents = [self._agent(number) for number in range(3)]
        self.served: dict[UUID, list[UUID]] = {agent.id: [] for agent in self.agents}

    def _agent(self, number: int) -> Agent:
        queues = self.random.sample(self.world.queues, self.random.randint(1, len(self.world.queues)))
        return make_agent(*queues, name=f"agent-{number}", seen=-A_WHILE)

    def step(self) -> None:
        agent = self.random.choice(self.agents)
        rules = Rules.read(database_time(), self.served[agent.id])
        if not rules.is_busy(agent):
            self.take(agent, rules)
        elif self.random.random() < 0.5:
            self.give_up(agent)

    def take(self, agent: Agent, rules: Rules) -> None:
        expected = rules.next_ones(set(agent.queues))
        claimed = claim(SESSION, agent.id, agent.queues, self.served[agent.id])
        assert (claimed.run.id if claimed else None) in (expected or {None})
        if claimed:
            self.served[agent.id] = turn_taken(self.served[agent.id], claimed.workspace_id)

    def give_up(self, agent: Agent) -> None:
        run = FlowRun.objects.get(agent=agent, lease_expires__isnull=False)
        for state in self.random.choice(ENDS):
            transition(SESSION, run.id, state(self.world.now), attempt=run.attempt)


def assert_limits_hold(rules: Rules) -> None:
    for run in rules.runs:
        for what, row in limited(run).items():
            assert row.concurrency_limit is None or rules.holders(what, row) <= row.concurrency_limit


def assert_reasons_are_true(rules: Rules, agents: list[Agent]) -> None:
    for run in rules.runs:
        reasons = waiting_on(run)
        told = {each["code"] for each in reasons}
        assert told - WHO_GOES_FIRST == expected_codes(rules, run, agents)
        assert all(each["text"] for each in reasons)
        named = {holder["id"] for each in reasons for holder in each["holders"]}
        assert not FlowRun.objects.filter(id__in=named).exclude(workspace=run.workspace).exists()


def expected_codes(rules: Rules, run: FlowRun, agents: list[Agent]) -> set[str]:
    if not rules.waits(run):
        return {"picked_by_agent"} if run.state_type == "PENDING" else set()
    blocked = rules.blocked_by(run)
    if blocked & WAITS_FOR_NOBODY:
        return blocked
    mine = [agent for agent in agents if run.work_queue_id in agent.queues]
    if not mine:
        return blocked | {"no_agent_online"}
    if blocked:
        return blocked
    return {"agents_busy"} if all(map(rules.is_busy, mine)) else {"starting_now"}


@pytest.mark.parametrize("seed", range(4))
def test_random_portals(seed: int) -> None:
    report_success("sweep", ago=-A_WHILE)
    world = World(Random(seed), database_time())
    world.build(runs=40)
    agents = Agents(world)
    for number in range(STEPS):
        agents.step()
        if number % 15 == 14:
            rules = Rules.read(database_time(), [])
            assert_limits_hold(rules)
            assert_reasons_are_true(rules, agents.agents)
