"""Who may force a state upon a run, and what is known of it afterwards."""

from typing import Any

import pytest

from flows.sdk.recorder import Status
from flows.sdk.states import Completed, Running
from runs.models import FlowRun
from runs.session import DjangoSession
from runs.transition import transition
from tests.factories import lease
from tests.portal.api.test_flow_runs import NewRun
from tests.portal.fixtures import Caller


def test_an_operator_forces_a_state_and_is_named_in_the_history(
    operator: Caller, viewer: Caller, new_run: NewRun
) -> None:
    """Prefect's engine and workers report with `force`, and need no more than to run and cancel."""
    run = new_run()
    path = f"/api/flow_runs/{run.id}/set_state"
    body: dict[str, Any] = {"state": {"type": "CRASHED", "message": "its host is gone"}, "force": True}

    assert viewer.post(path, body).status_code == 403
    assert operator.post(path, body).json()["status"] == "ACCEPT"

    last = run.states.latest("timestamp")
    assert last.type == "CRASHED"
    assert last.state_details["actor"]["display_value"].startswith("operator")


def test_an_attempt_that_lost_its_run_is_refused_with_force_as_without(new_run: NewRun) -> None:
    run = lease(new_run())
    transition(DjangoSession(), run.id, Running(), attempt=1)
    FlowRun.objects.update(attempt=2)

    transition(DjangoSession(), run.id, Completed(), attempt=1, force=True)

    run.refresh_from_db()
    assert run.state_type == "RUNNING"


def test_an_operator_may_end_a_run_that_an_agent_executes_and_is_named(
    operator: Caller, new_run: NewRun
) -> None:
    """As with Prefect: the rules allow it without `force`. The attempt learns that it has lost its run."""
    run = lease(new_run())
    transition(DjangoSession(), run.id, Running(), attempt=1)

    answer = operator.post(f"/api/flow_runs/{run.id}/set_state", {"state": {"type": "COMPLETED"}})

    assert answer.json()["status"] == "ACCEPT"
    assert run.states.latest("timestamp").state_details["actor"]["display_value"].startswith("operator")
    assert transition(DjangoSession(), run.id, Completed(), attempt=1).status is Status.ABORT


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "3000-01-01T00:00:00Z"])
def test_a_run_is_due_in_a_year_that_can_be_stored(operator: Caller, new_run: NewRun, time: str) -> None:
    run = new_run()
    state = {"type": "SCHEDULED", "state_details": {"scheduled_time": time}}

    for path in (f"flow_runs/{run.id}/set_state", f"deployments/{run.deployment_id}/create_flow_run"):
        answer = operator.post(f"/api/{path}", {"state": state, "parameters": {"year": 1962}})

        assert answer.status_code == 422
        assert "years from 1900 to 2999" in answer.json()["detail"]
