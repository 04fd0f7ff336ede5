"""Agents, horses and Redis are killed while runs work."""

import os
import random
import signal
import time
from contextlib import suppress

import pytest

from agents import doorbell
from agents.registry import resolve
from portal.ops.embedded import Valkey
from runs.models import FlowRun
from tests.faults.conftest import Stage
from tests.faults.load import Load
from tests.processes import wait_until

pytestmark = pytest.mark.processes


def test_every_run_survives_killed_agents_and_processes(stage: Stage, dice: random.Random) -> None:
    stage.stack.start("scheduler").wait_for("Scheduler")
    agents = [stage.agent(), stage.agent()]
    load = Load(stage, 20, "survives")
    kills = iter(range(2))

    def kill() -> None:
        time.sleep(dice.uniform(0.1, 0.6))
        working = FlowRun.objects.filter(state_type="RUNNING").exclude(infrastructure_pid="")
        pids = list(working.values_list("infrastructure_pid", flat=True))
        if pids and dice.random() < 0.7:
            with suppress(ProcessLookupError):  # it has ended in the meantime
                os.kill(int(dice.choice(pids)), signal.SIGKILL)
        elif next(kills, None) is not None:
            agents.pop(dice.randrange(2)).kill()
            agents.append(stage.agent())

    load.suffer(kill)

    assert load.states() == {"Completed": 20}
    runs = FlowRun.objects.filter(id__in=load.ids)
    assert sum(run.crash_count for run in runs) >= 3
    assert all(run.attempt == run.crash_count + 1 for run in runs)


def test_every_run_is_executed_once_while_redis_dies_and_forgets(
    stage: Stage, valkey: Valkey, dice: random.Random
) -> None:
    """The rings of these runs reach another Redis: each is a lost one, and the sweeper makes up for them."""
    stage.stack.env["REDIS_URL"] = valkey.url
    stage.stack.start("scheduler").wait_for("Scheduler")
    stage.agent()
    stage.agent()
    load = Load(stage, 16)

    def break_redis() -> None:
        time.sleep(dice.uniform(0.1, 0.8))
        assert valkey.pid is not None
        os.kill(valkey.pid, signal.SIGKILL)
        wait_until(lambda: valkey.pid is None, what="Valkey is down")
        time.sleep(dice.uniform(0, 0.5))
        valkey.start()

    assert load.suffer(break_redis) >= 3
    load.assert_each_completed_once()


def test_lost_and_doubled_rings_change_nothing(stage: Stage, dice: random.Random) -> None:
    stage.stack.start("scheduler").wait_for("Scheduler")
    stage.agent()
    stage.agent()
    queue_id = resolve("default").id
    load = Load(stage, 12)

    def confuse() -> None:
        time.sleep(dice.uniform(0, 0.2))
        if dice.random() < 0.3:
            doorbell.connection().flushall()
        for _ in range(dice.randrange(5)):
            doorbell.ring(queue_id)

    load.suffer(confuse)
    load.assert_each_completed_once()
