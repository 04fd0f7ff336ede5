"""`run_deployment` from flows and from scripts."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from flows.deployments import arun_deployment, run_deployment
from flows.models import Deployment
from flows.sdk import backend, portal
from flows.sdk.client import PortalApiError
from flows.sdk.states import Completed, Pending, Running
from runs.models import FlowRun, TaskRun
from tests.around.conftest import Around
from tests.portal.api.test_commands import execute

YEAR = {"year": 1962}


def started(**options: Any) -> Any:
    """A run that nobody executes."""
    return run_deployment("weather-report/seattle", parameters=YEAR, timeout=0, **options)


def test_a_script_starts_a_run(weather: Deployment) -> None:
    due = datetime(2030, 1, 1, tzinfo=UTC)

    run = started(flow_run_name="mine", tags=["a"], scheduled_time=due, work_queue_name="fast")

    stored = FlowRun.objects.select_related("work_queue").get()
    assert (stored.id, stored.name, stored.tags, stored.expected_start_time) == (run.id, "mine", ["a"], due)
    assert stored.work_queue is not None and stored.work_queue.name == "fast"
    assert (run.state_name, run.parameters["year"]) == ("Scheduled", 1962)


def test_a_deployment_may_be_named_by_its_id(weather: Deployment) -> None:
    assert run_deployment(weather.id, parameters=YEAR, timeout=0).deployment_id == weather.id


def test_the_same_key_gives_the_same_run(weather: Deployment) -> None:
    first, again, other = (started(idempotency_key=key) for key in ("monday", "monday", "tuesday"))

    assert first.id == again.id != other.id


def test_a_script_waits_for_the_end(weather: Deployment) -> None:
    agent = execute(Pending, Running, Completed)

    run = run_deployment("weather-report/seattle", parameters=YEAR)

    agent.join()
    assert run.state.is_completed() and run.state.message == "now Completed"


async def wait_async() -> Any:
    return await run_deployment("weather-report/seattle", parameters=YEAR, timeout=0.3)


def test_waiting_ends_when_the_time_is_up(weather: Deployment) -> None:
    import asyncio

    assert asyncio.run(wait_async()).state.is_scheduled()
    assert asyncio.run(arun_deployment(weather.id, parameters=YEAR, timeout=0)).state.is_scheduled()


@pytest.mark.parametrize(
    ("start", "text"),
    [
        (lambda: run_deployment("weather-report/nowhere"), "no deployment 'weather-report/nowhere'"),
        (lambda: run_deployment("weather-report/seattle", parameters={"year": "soon"}), "year"),
    ],
)
def test_a_refusal_says_why(weather: Deployment, start: Callable[[], Any], text: str) -> None:
    with pytest.raises(PortalApiError, match=text):
        start()


def test_a_negative_timeout_is_refused() -> None:
    with pytest.raises(ValueError, match="timeout"):
        run_deployment("a/b", timeout=-1)


def test_without_a_portal_the_error_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "_portal_here", None)

    with pytest.raises(portal.NoPortalError, match="run_deployment needs a Portal: set PORTAL_API_URL"):
        run_deployment("a/b")


@pytest.mark.processes
@pytest.mark.parametrize("flow", ["parent", "async_parent"])
def test_a_flow_runs_a_deployment_as_its_subflow(around: Around, flow: str) -> None:
    around.agent()
    around.agent()
    child = around.new("double", number=1)
    parent = around.new(flow, child="double/prod")

    assert around.ended(parent).state_type == "COMPLETED"

    run = FlowRun.objects.exclude(id__in=[child.id, parent.id]).get()
    stand_in = TaskRun.objects.get(flow_run=parent, name__startswith="double/prod")
    assert run.parameters == {"number": 3} and run.state_type == "COMPLETED"
    assert run.parent_task_run_id == stand_in.id and stand_in.state_type == "COMPLETED"
    assert run.created_by["display_value"] == f"flow run {parent.name}"
    if flow == "parent":  # the future that the child was given is an edge of the graph
        assert [*stand_in.task_inputs] == ["number"]


@pytest.mark.processes
def test_a_child_that_fails_is_shown_failed_and_raises_nothing(around: Around) -> None:
    around.agent()
    around.agent()
    child = around.ended(around.new("boom"))
    parent = around.ended(around.new("parent", child="boom/prod"))

    assert (child.state_type, parent.state_type) == ("FAILED", "COMPLETED")
    assert TaskRun.objects.get(flow_run=parent, name__startswith="boom").state_type == "FAILED"
