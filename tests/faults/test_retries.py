"""A run that failed on one host is retried on another."""

from pathlib import Path

import pytest

from flows.scoping import Actor
from runs.models import FlowRun, FlowRunState, TaskRun
from runs.retrying import find_task_run, retry
from runs.session import DjangoSession
from tests.faults.conftest import Stage

pytestmark = pytest.mark.processes

ANNA = Actor(user_id=1, name="anna")


def steps(stage: Stage) -> list[str]:
    """What was computed, in this order."""
    return (stage.folder / "steps").read_text().split()


def host(stage: Stage, name: str, shared: Path | None = None) -> None:
    """An agent with a data folder of its own, in the place of the one before."""
    for agent in stage.agents:
        agent.stop()
    environment = {"PORTAL_DATA_DIR": str(stage.folder / name)}
    if shared is not None:
        environment["PORTAL_RESULT_STORAGE"] = str(shared)
    stage.agent(**environment)


def failed_on_one_host(stage: Stage, shared: Path | None = None) -> FlowRun:
    run = stage.create("lands")
    host(stage, "one", shared)
    assert stage.ended(run).state_type == "FAILED"
    stage.go()
    return run


def again(run: FlowRun, from_task: str | None = None) -> None:
    retry(DjangoSession(), run.id, ANNA, from_task=find_task_run(run.id, from_task) if from_task else None)


def test_small_results_come_from_the_database_and_large_ones_are_computed_anew(stage: Stage) -> None:
    run = failed_on_one_host(stage)
    (stage.folder / "one").rename(stage.folder / "on another machine")

    host(stage, "two")
    again(run)

    assert stage.ended(run).state_type == "COMPLETED"
    assert steps(stage) == ["1", "600000", "600000", "2"]
    assert "set PORTAL_RESULT_STORAGE to a place that all agents share" in stage.agents[-1].output
    second = TaskRun.objects.filter(flow_run=run, attempt=2).order_by("created")
    assert list(second.values_list("state_name", flat=True)) == ["Cached", "Completed", "Completed"]


def test_large_results_come_from_a_place_that_hosts_share(stage: Stage) -> None:
    shared = stage.folder / "shared"
    run = failed_on_one_host(stage, shared)

    host(stage, "two", shared)
    again(run)

    assert stage.ended(run).state_type == "COMPLETED"
    assert steps(stage) == ["1", "600000", "2"]


def test_from_a_chosen_task_on_another_host(stage: Stage) -> None:
    shared = stage.folder / "shared"
    run = failed_on_one_host(stage, shared)

    host(stage, "two", shared)
    again(run, "ballast")

    assert stage.ended(run).state_type == "COMPLETED"
    assert steps(stage) == ["1", "600000", "600000", "2"]
    names = FlowRunState.objects.filter(flow_run=run).order_by("timestamp").values_list("name", flat=True)
    assert list(names) == [
        "Scheduled", "Pending", "Running", "Failed", "AwaitingRetry", "Pending", "Retrying", "Completed",
    ]  # fmt: skip
