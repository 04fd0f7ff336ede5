"""Wrong clocks: they change times that people see, but no decision, which is made by the database's."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.utils.timezone import now

from runs.models import FlowRun, Log
from tests.faults.conftest import Stage
from tests.processes import wait_until

pytestmark = pytest.mark.processes

HALF_AN_HOUR = 1800.0
WRONG_CLOCK = """
import time
import time_machine

time_machine.travel(time.time() + {seconds}, tick=True).start()
"""


def wrong_clock(folder: Path, seconds: float) -> dict[str, str]:
    """The environment of a Python process whose wall clock is wrong by so much."""
    path = folder / f"clock{seconds:+.0f}"
    path.mkdir()
    (path / "sitecustomize.py").write_text(WRONG_CLOCK.format(seconds=seconds))
    return {"PYTHONPATH": str(path)}


def test_an_agent_and_a_scheduler_with_wrong_clocks_do_their_work(stage: Stage) -> None:
    stage.stack.start("scheduler", env=wrong_clock(stage.folder, HALF_AN_HOUR)).wait_for("Scheduler")
    agent = stage.agent(**wrong_clock(stage.folder, -HALF_AN_HOUR))
    first = stage.ended(stage.create("jumps", seconds=0))
    assert first.state_type == "COMPLETED", first.state_message
    assert now() - first.task_runs.first().start_time > timedelta(minutes=29), "its clock is wrong"
    assert abs(first.start_time - now()) < timedelta(minutes=2)
    assert 0 <= first.total_run_time < 60

    run = stage.create("hold")
    stage.started(run)
    wait_until(lambda: FlowRun.objects.filter(id=run.id, state_type="RUNNING").exists())
    agent.kill()
    assert stage.ended(run).state_type == "CRASHED"


@pytest.mark.parametrize("seconds", [-HALF_AN_HOUR, HALF_AN_HOUR])
def test_a_clock_that_is_set_during_a_run_ends_nothing(stage: Stage, seconds: float) -> None:
    stage.agent()
    run = stage.ended(stage.create("jumps", seconds=seconds))
    assert run.state_type == "COMPLETED", run.state_message
    assert 0 <= run.total_run_time < 60
    assert [task.state_type for task in run.task_runs.all()] == ["COMPLETED", "COMPLETED"]
    assert all(task.total_run_time >= 0 for task in run.task_runs.all())
    assert not Log.objects.filter(flow_run=run, message__contains="exceeded timeout").exists()
