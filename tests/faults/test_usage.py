"""What a run's processes have used stands in its row, however the run ends."""

import signal

import pytest

from runs.create import create_flow_run
from runs.models import FlowRun
from tests.faults.conftest import Stage
from tests.faults.test_drain import begun, deployed

pytestmark = pytest.mark.processes

HOARD = 150_000_000


def ended(stage: Stage, flow: str) -> FlowRun:
    return stage.ended(create_flow_run(deployed(flow), parameters={"folder": str(stage.folder)}))


def test_a_run_that_ends_well_tells_cpu_and_memory_of_itself_and_its_children(stage: Stage) -> None:
    stage.agent()
    run = ended(stage, "works")
    assert run.cpu_seconds is not None and 0.6 <= run.cpu_seconds < 10
    assert run.peak_memory_bytes is not None and HOARD < run.peak_memory_bytes < 5 * HOARD


def test_a_process_that_dies_is_accounted_for_by_its_agent(stage: Stage) -> None:
    stage.agent()
    run = ended(stage, "dies_of_work")
    assert run.state_type == "CRASHED"
    assert run.cpu_seconds is not None and 0.3 <= run.cpu_seconds < 10
    assert run.peak_memory_bytes is not None and HOARD < run.peak_memory_bytes < 5 * HOARD


def test_cpu_time_of_all_attempts_is_added_up(stage: Stage) -> None:
    agent = stage.agent("--drain-seconds", "0")
    run, _ = begun(stage, "in_a_loop")
    agent.signal(signal.SIGTERM)
    agent.wait()
    run.refresh_from_db()
    spent = run.cpu_seconds
    assert spent

    stage.agent()
    stage.started(run)
    stage.go()
    stage.ended(run)
    assert run.cpu_seconds is not None and run.cpu_seconds > spent
