"""Resume, suspend and the inputs of runs, over HTTP."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from flows.sdk.backend import SentInput
from flows.sdk.states import Paused, Running
from runs.inputs import put_input
from runs.models import FlowRun, FlowRunState
from runs.session import DjangoSession
from runs.transition import transition
from tests.factories import lease
from tests.portal.fixtures import Caller

pytestmark = pytest.mark.django_db
NewRun = Callable[..., FlowRun]

SCHEMA = {"type": "object", "properties": {"approved": {"type": "boolean"}}, "required": ["approved"]}
KEYS = {"schema": "paused-1-schema", "response": "paused-1-response"}


def running(run: FlowRun) -> FlowRun:
    transition(DjangoSession(), lease(run).id, Running(), attempt=1)
    return run


def asking(run: FlowRun) -> FlowRun:
    """A paused run that waits for an approval."""
    with DjangoSession().transaction() as tx:
        put_input(tx, running(run).id, SentInput(KEYS["schema"], SCHEMA))
    until = (timezone.now() + timedelta(minutes=5)).isoformat()
    details = {"pause_key": "1", "pause_timeout": until, "run_input_keyset": KEYS}
    transition(DjangoSession(), run.id, Paused(details=details), attempt=1)
    return run


def resume(caller: Caller, run: FlowRun, body: Any = None) -> Any:
    return caller.post(f"/api/flow_runs/{run.id}/resume", body)


def test_a_run_is_resumed_with_its_answer(operator: Caller, new_run: NewRun) -> None:
    run = asking(new_run())
    assert operator.get(f"/api/flow_runs/{run.id}").json()["waiting_on"][0]["code"] == "paused"

    answer = resume(operator, run, {"run_input": {"approved": True}})

    assert (answer.status_code, answer.json()["status"]) == (201, "ACCEPT")
    assert answer.json()["state"]["type"] == "RUNNING"
    assert operator.get(f"/api/flow_runs/{run.id}/input/paused-1-response").json() == {"approved": True}
    state = FlowRunState.objects.get(flow_run=run, state_details__has_key="resumed_by")
    assert state.state_details["resumed_by"]["display_value"] == "operator-default"


def test_an_answer_that_does_not_fit_is_rejected_and_says_why(operator: Caller, new_run: NewRun) -> None:
    run = asking(new_run())

    answer = resume(operator, run, {"run_input": {"approved": "perhaps"}})

    assert (answer.status_code, answer.json()["status"]) == (200, "REJECT")
    assert "approved: 'perhaps' is not of type 'boolean'" in answer.json()["details"]["reason"]
    assert answer.json()["state"]["type"] == "PAUSED"


def test_a_run_that_is_not_paused_is_not_resumed(operator: Caller, new_run: NewRun) -> None:
    answer = resume(operator, running(new_run()))

    assert (answer.status_code, answer.json()["status"], answer.json()["state"]) == (200, "ABORT", None)


def test_a_viewer_resumes_and_suspends_nothing(viewer: Caller, new_run: NewRun) -> None:
    run = asking(new_run())

    assert resume(viewer, run).status_code == 403
    assert viewer.post(f"/api/flow_runs/{run.id}/suspend").status_code == 403


def test_a_running_run_is_suspended(operator: Caller, new_run: NewRun) -> None:
    run = running(new_run())

    answer = operator.post(f"/api/flow_runs/{run.id}/suspend", {"timeout": 60})

    assert answer.json()["state"]["name"] == "Suspended"
    run.refresh_from_db()
    assert run.lease_expires is None
    assert run.pause_expires is not None


def test_a_state_may_pause_a_run_that_a_client_executes(operator: Caller, new_run: NewRun) -> None:
    run = new_run()
    transition(DjangoSession(), run.id, Running())
    state = {"type": "PAUSED", "state_details": {"pause_timeout": "2031-01-01T00:00:00Z", "pause_key": "a"}}

    answer = operator.post(f"/api/flow_runs/{run.id}/set_state", {"state": state})

    assert answer.json()["state"]["name"] == "Paused"
    run.refresh_from_db()
    assert (run.pause_keys, run.pause_expires and run.pause_expires.year) == (["a"], 2031)


@pytest.mark.parametrize(
    "details",
    [{"pause_timeout": "soon"}, {"run_input_keyset": 1}, {"run_input_keyset": {"a": []}}, {"pause_key": {}}],
)
def test_details_of_a_pause_are_checked(operator: Caller, new_run: NewRun, details: Any) -> None:
    body = {"state": {"type": "PAUSED", "state_details": details}}

    assert operator.post(f"/api/flow_runs/{new_run().id}/set_state", body).status_code == 422


def test_inputs_are_left_listed_and_forgotten(operator: Caller, new_run: NewRun) -> None:
    path = f"/api/flow_runs/{new_run().id}/input"
    for key in ("str-auto-1", "str-auto-2", "other"):
        assert operator.post(path, {"key": key, "value": f'"{key}"', "sender": "me"}).status_code == 201

    found = operator.post(f"{path}/filter", {"prefix": "str-", "exclude_keys": ["str-auto-1"]}).json()
    assert [(each["key"], each["value"], each["sender"]) for each in found] == [
        ("str-auto-2", '"str-auto-2"', "me")
    ]
    forget = operator.client.delete
    headers = {"authorization": f"Bearer {operator.token}"}
    assert forget(f"{path}/other", headers=headers).status_code == 204
    assert forget(f"{path}/other", headers=headers).status_code == 404
    assert operator.get(f"{path}/other").status_code == 404


def test_an_input_is_json(operator: Caller, new_run: NewRun) -> None:
    body = {"key": "k", "value": "{"}

    assert operator.post(f"/api/flow_runs/{new_run().id}/input", body).status_code == 422


def test_a_viewer_leaves_no_input(viewer: Caller, new_run: NewRun) -> None:
    body = {"key": "k", "value": "1"}

    assert viewer.post(f"/api/flow_runs/{new_run().id}/input", body).status_code == 403
