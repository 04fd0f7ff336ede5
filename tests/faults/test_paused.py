"""Processes that stand still and wake up too late, as on a machine that was suspended."""

import os
import signal
from datetime import datetime, timedelta
from itertools import pairwise

import psycopg
import pytest
from django.db import connection

from flows.models import Schedule
from runs.models import FlowRun, FlowRunState
from tests.faults.conftest import Stage, is_alive
from tests.processes import wait_until

pytestmark = pytest.mark.processes


def _send(number: int, *pids: int) -> None:
    for pid in pids:
        os.kill(pid, number)


def test_an_agent_that_stood_still_has_lost_its_run_to_another(stage: Stage) -> None:
    stage.stack.start("scheduler")
    agent = stage.agent()
    run = stage.create("unlucky")
    first = stage.started(run)
    stage.agent()
    _send(signal.SIGSTOP, agent.pid, first)

    second = stage.started(run)
    _send(signal.SIGCONT, agent.pid, first)

    agent.wait_for("the run was taken from this agent")
    wait_until(lambda: not is_alive(first), what="the first process is gone")
    assert is_alive(second)
    stage.go()
    assert (stage.ended(run).state_type, run.attempt) == ("COMPLETED", 2)
    assert FlowRunState.objects.filter(flow_run=run, type="COMPLETED").count() == 1


def test_a_process_whose_agent_stands_still_is_refused_and_stops_by_itself(stage: Stage) -> None:
    stage.stack.start("scheduler")
    agent = stage.agent()
    run = stage.create("talks")
    horse = stage.started(run)
    _send(signal.SIGSTOP, agent.pid)

    assert stage.ended(run).state_type == "CRASHED"
    wait_until(lambda: not is_alive(horse), what="the process stops without its agent's help")
    _send(signal.SIGCONT, agent.pid)
    assert stage.ended(stage.create("quick")).state_type == "COMPLETED"


def test_a_process_that_stands_still_in_a_transaction_blocks_nobody(stage: Stage) -> None:
    """It holds its run's row, which the reaper needs; PostgreSQL ends its transaction after 10 s."""
    stage.stack.start("scheduler")
    agent = stage.agent()
    run = stage.create("talks")
    horse = stage.started(run)
    wait_until(lambda: FlowRun.objects.filter(id=run.id, state_type="RUNNING").exists())
    with _locked("runs_log") as blocker:
        wait_until(lambda: _waiters() > 0, what="the process writes its batch")
        _send(signal.SIGSTOP, agent.pid, horse)
        blocker.rollback()

    assert stage.ended(run).state_type == "CRASHED"
    _send(signal.SIGCONT, agent.pid, horse)


def test_three_schedulers_one_of_which_stands_still_make_one_run_per_tick(stage: Stage) -> None:
    schedulers = [stage.stack.start("scheduler") for _ in range(3)]
    stage.agent()
    schedule = _every_second(stage)

    def ticks() -> list[datetime]:
        started = FlowRun.objects.filter(schedule=schedule, state_type="COMPLETED")
        return list(started.order_by("slot").values_list("slot", flat=True))

    wait_until(lambda: len(ticks()) >= 2, what="the schedule runs")
    _send(signal.SIGSTOP, schedulers[0].pid)
    so_far = len(ticks())
    wait_until(lambda: len(ticks()) >= so_far + 4, what="it runs although a scheduler stands still")
    _send(signal.SIGCONT, schedulers[0].pid)
    schedulers[1].kill()
    so_far = len(ticks())
    wait_until(lambda: len(ticks()) >= so_far + 4, what="it runs although a scheduler was killed")

    seen = ticks()
    assert {later - earlier for earlier, later in pairwise(seen)} == {timedelta(seconds=1)}


def _every_second(stage: Stage) -> Schedule:
    second, parameters = timedelta(seconds=1), {"folder": str(stage.folder)}
    return Schedule.objects.create(
        deployment=stage.deployment("count"), interval=second, parameters=parameters
    )


def _locked(table: str) -> "psycopg.Connection[tuple[object, ...]]":
    """A connection that keeps everybody from writing to a table."""
    blocker = psycopg.connect(os.environ["DATABASE_URL"], dbname=connection.settings_dict["NAME"])
    blocker.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE".encode())
    return blocker


def _waiters() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return int(cursor.fetchone()[0])
