"""The horse that an idle agent has ready for its next run."""

import os
import select
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import cast

import pytest
from django.db import connection

from agents.claim import Claimed
from agents.spare import NAME, Spare
from agents.standby import Standby
from runs.models import FlowRun
from runs.session import PsycopgSession, conninfo_of_django
from tests.faults.conftest import Stage
from tests.processes import RunningStack, wait_until

pytestmark = pytest.mark.processes


def horses(agent: int) -> set[int]:
    """The pids of the agent's children that lead a group of their own, as its guards do not."""
    children = Path(f"/proc/{agent}/task/{agent}/children")
    found = set()
    for pid in map(int, children.read_text().split()):
        with suppress(ProcessLookupError):
            found |= {pid} & {os.getpgid(pid)}
    return found


def connections() -> list[str]:
    """The names under which PostgreSQL knows agents and their horses."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT application_name FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name LIKE 'portal %'"
        )
        return [name for (name,) in cursor.fetchall()]


def is_idle(agent: int) -> bool:
    """Whether a horse stands by with its guard, and there is nothing else."""
    children = Path(f"/proc/{agent}/task/{agent}/children").read_text().split()
    return len(children) == 2 and NAME in connections()


def held(agent: int) -> tuple[int, int]:
    """How many descriptors an idle agent has, and how many connections."""
    wait_until(lambda: is_idle(agent), what="the agent is idle")
    return len(list(Path(f"/proc/{agent}/fd").iterdir())), len(connections())


def standing_by(agent: int) -> int:
    """Wait until one stands by; its pid."""
    [pid] = wait_until(lambda: horses(agent), what="a horse stands by")
    return pid


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def test_the_next_run_is_its_own(stack: RunningStack) -> None:
    stage = Stage(stack)
    agent = stage.agent()
    ready = standing_by(agent.pid)
    assert stage.started(stage.create("quick")) == ready
    wait_until(lambda: horses(agent.pid) - {ready}, what="another one stands by")


def test_its_rehearsal_is_seen_by_nobody(stack: RunningStack) -> None:
    stage = Stage(stack)
    agent = stage.agent()
    standing_by(agent.pid)
    stage.ended(stage.create("quick"))
    assert [run.flow.name for run in FlowRun.objects.select_related("flow")] == ["quick"]
    assert "rehears" not in agent.output
    assert "Completed" not in agent.output


def test_a_run_starts_although_it_was_killed(stack: RunningStack) -> None:
    stage = Stage(stack)
    agent = stage.agent()
    ready = standing_by(agent.pid)
    os.kill(ready, signal.SIGKILL)
    run = stage.ended(stage.create("quick"))
    assert (run.state_type, run.attempt) == ("COMPLETED", 1)
    assert is_gone(ready)


def test_an_order_too_large_for_its_pipe_goes_to_another(stack: RunningStack) -> None:
    """The agent would have to wait until it has read: for ever, if it stands still."""
    stage = Stage(stack)
    agent = stage.agent()
    ready = standing_by(agent.pid)
    run = stage.ended(stage.create("measures", text="x" * 100_000))
    assert run.state_type == "COMPLETED"
    assert run.infrastructure_pid != str(ready)
    assert is_gone(ready)


def test_runs_leave_neither_descriptors_nor_processes_nor_connections(stack: RunningStack) -> None:
    stage = Stage(stack)
    agent = stage.agent()

    for run in [stage.create("quick") for _ in range(3)]:
        stage.ended(run)
    descriptors, open_connections = held(agent.pid)
    for how in (signal.SIGKILL, signal.SIGSTOP, None):
        wait_until(lambda: is_idle(agent.pid), what="the agent is idle")
        if how is not None:
            os.kill(standing_by(agent.pid), how)
        for run in [stage.create("quick") for _ in range(3)]:
            assert stage.ended(run).state_type == "COMPLETED"

    def is_as_before() -> bool:
        now = held(agent.pid)
        return now[0] <= descriptors and now[1] <= open_connections

    wait_until(is_as_before, what="no more is open than before")


def test_a_run_starts_although_it_stands_still(stack: RunningStack) -> None:
    stage = Stage(stack)
    agent = stage.agent()
    ready = standing_by(agent.pid)
    os.kill(ready, signal.SIGSTOP)
    assert stage.ended(stage.create("quick")).state_type == "COMPLETED"
    assert is_gone(ready)


def test_it_ends_with_its_agent(stack: RunningStack) -> None:
    stage = Stage(stack)
    agent = stage.agent()
    ready = standing_by(agent.pid)
    agent.stop()
    wait_until(lambda: is_gone(ready))


def test_it_dies_with_its_agent(stack: RunningStack) -> None:
    stage = Stage(stack)
    agent = stage.agent()
    ready = standing_by(agent.pid)
    agent.kill()
    wait_until(lambda: is_gone(ready))


@pytest.fixture
def told() -> Iterator[tuple[int, int]]:
    """A pipe by which a horse tells what it was given: its reading end, and its writing end."""
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)
    os.close(writing)


@pytest.fixture
def standby(monkeypatch: pytest.MonkeyPatch, told: tuple[int, int]) -> Iterator[Standby]:
    """One whose agent is the test, with a horse that only tells what it was given."""
    conninfo = conninfo_of_django()
    spare = Spare(conninfo)
    monkeypatch.setattr("agents.horse.execute", lambda claimed, *rest: os.write(told[1], claimed.encode()))
    standby = Standby(conninfo, PsycopgSession(conninfo), spare)
    standby.prepare()
    yield standby
    standby.dismiss()
    spare.close()


@pytest.mark.django_db(transaction=True)
def test_it_begins_although_another_child_has_a_copy_of_its_pipe(
    standby: Standby, told: tuple[int, int]
) -> None:
    """One of RQ's jobs, say, that left a process behind."""
    assert standby._horse is not None
    copy = os.dup(standby._horse.order)
    horse = standby.start(cast(Claimed, "a run"))
    assert horse is not None
    assert select.select([told[0]], [], [], 5)[0], "it did not begin within 5 s"
    assert os.read(told[0], 100) == b"a run"
    os.close(copy)
    horse.guard.close()
    os.waitpid(horse.pid, 0)


@pytest.mark.django_db(transaction=True)
def test_an_old_one_gets_no_run(standby: Standby, monkeypatch: pytest.MonkeyPatch) -> None:
    """While its agent was busy for hours, a firewall may have forgotten its connection."""
    assert standby._horse is not None
    pid = standby._horse.pid
    monkeypatch.setattr("agents.standby.LONGEST_SECONDS", 0.0)
    assert standby.start(cast(Claimed, "a run")) is None
    assert is_gone(pid)
