"""Redis only wakes agents: losing it costs seconds, never a run."""

import os
import signal

import pytest
import redis
from rq import Queue
from rq.serializers import JSONSerializer

from agents import doorbell
from portal.ops.embedded import Valkey
from runs.models import FlowRun
from tests.faults.api import Api
from tests.faults.conftest import Stage
from tests.processes import wait_until

pytestmark = pytest.mark.processes

RING_LIST = "portal:default:default:default"


def test_runs_that_wait_start_although_redis_was_flushed(stage: Stage) -> None:
    stage.agent()
    holding = stage.create("hold")
    stage.started(holding)
    waiting = [stage.create("quick") for _ in range(3)]

    doorbell.connection().flushall()
    stage.go()

    for run in waiting:
        assert stage.ended(run).state_type == "COMPLETED"


def test_an_idle_agent_finds_a_run_whose_ring_was_lost(stage: Stage) -> None:
    stage.agent()
    doorbell.connection().client_pause(300)
    run = stage.create("quick")
    doorbell.connection().flushall()
    assert stage.ended(run).state_type == "COMPLETED"


def test_a_run_completes_while_redis_is_restarted(stage: Stage, valkey: Valkey) -> None:
    stage.agent(REDIS_URL=valkey.url)
    run = stage.create("hold")
    stage.started(run)

    valkey.stop()
    stage.go()
    assert stage.ended(run).state_type == "COMPLETED"
    assert stage.ended(stage.create("quick")).state_type == "COMPLETED"  # without Redis

    valkey.start()
    agents = redis.Redis.from_url(valkey.url)
    wait_until(lambda: agents.smembers("rq:workers"), what="the agent registers again")


def test_an_agent_starts_without_redis(stage: Stage, valkey: Valkey) -> None:
    valkey.stop()
    stage.agent(REDIS_URL=valkey.url)
    assert stage.ended(stage.create("quick")).state_type == "COMPLETED"


def test_a_job_that_is_no_ring_is_executed_by_rq(stage: Stage) -> None:
    stage.agent()
    queue = Queue(RING_LIST, connection=doorbell.connection(), serializer=JSONSerializer)
    queue.enqueue("os.mkdir", str(stage.folder / "made"))
    wait_until((stage.folder / "made").exists, what="the job was done")
    assert stage.ended(stage.create("quick")).state_type == "COMPLETED"


def test_garbage_in_a_ring_list_is_dropped(stage: Stage) -> None:
    agent = stage.agent()
    connection = doorbell.connection()
    connection.hset("rq:job:garbage", mapping={"created_at": "never", "data": b"\x80"})
    connection.rpush(f"rq:queue:{RING_LIST}", "garbage", "no-such-job")
    agent.wait_for("Dropped job garbage")
    assert stage.ended(stage.create("quick")).state_type == "COMPLETED"


def test_rings_leave_nothing_behind(stage: Stage) -> None:
    stage.agent()
    stage.ended(stage.create("quick"))
    wait_until(lambda: not list(doorbell.connection().scan_iter("rq:job:*")), what="the ring was dropped")


def test_a_full_redis_costs_seconds(stage: Stage, valkey: Valkey) -> None:
    """It refuses rings and presence; whoever waits for a ring looks for work anyway."""
    stage.stack.env["REDIS_URL"] = valkey.url
    stage.stack.start("scheduler")
    api = Api(stage)
    stage.agent()
    redis.Redis.from_url(valkey.url).config_set("maxmemory", 1)
    run_id = api.create_run(stage.deployment("quick"), "key", folder=str(stage.folder))
    assert stage.ended(FlowRun.objects.get(id=run_id)).state_type == "COMPLETED"


def test_a_redis_that_hangs_holds_up_nobody_for_long(stage: Stage, valkey: Valkey) -> None:
    """The machine that it runs on stands still, or packets to it are dropped."""
    stage.stack.env["REDIS_URL"] = valkey.url
    stage.stack.start("scheduler")
    api = Api(stage)
    stage.agent()
    assert valkey.pid is not None
    os.kill(valkey.pid, signal.SIGSTOP)
    try:
        run_id = api.create_run(stage.deployment("quick"), "key", folder=str(stage.folder))
        assert stage.ended(FlowRun.objects.get(id=run_id)).state_type == "COMPLETED"
    finally:
        os.kill(valkey.pid, signal.SIGCONT)
