"""Flow runs that Prefect's clients make for themselves: create, read, change, label, delete, history."""

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agents.models import WorkPool
from agents.pools import make_pool
from flows.models import Workspace
from flows.sdk.ids import uuid7
from runs.models import FlowRun, TaskRun
from tests.factories import lease, make_queue
from tests.portal.fixtures import Caller

pytestmark = pytest.mark.django_db
NewRun = Callable[..., FlowRun]
RETRIES = {"retries": 2, "retry_delay": 3600}


def change(caller: Caller, method: str, path: str, body: Any = None) -> Any:
    headers = {"authorization": f"Bearer {caller.token}"}
    data = json.dumps(body)
    return caller.client.generic(method, path, data, content_type="application/json", headers=headers)


@pytest.fixture
def flow_id(editor: Caller) -> str:
    return str(editor.post("/api/flows/", {"name": "etl"}).json()["id"])


@pytest.fixture
def run(operator: Caller, flow_id: str) -> dict[str, Any]:
    """A run as Prefect's engine makes it."""
    body = {"flow_id": flow_id, "parameters": {"x": 1}, "empirical_policy": RETRIES, "tags": ["t"]}
    response = operator.post("/api/flow_runs/", {**body, "flow_version": "v1", "context": {"a": 1}})
    assert response.status_code == 201, response.content
    made: dict[str, Any] = response.json()
    return made


def propose(caller: Caller, run: dict[str, Any], **state: Any) -> dict[str, Any]:
    answer: dict[str, Any] = caller.post(f"/api/flow_runs/{run['id']}/set_state", {"state": state}).json()
    return answer


def test_a_run_is_as_its_client_made_it(viewer: Caller, run: dict[str, Any], flow_id: str) -> None:
    shown = viewer.get(f"/api/flow_runs/{run['id']}").json()

    assert shown["state"]["type"] == "PENDING"
    assert shown["state"]["state_details"]["flow_run_id"] == run["id"]
    assert shown["parameters"] == {"x": 1} and shown["tags"] == ["t"] and shown["context"] == {"a": 1}
    assert shown["flow_version"] == "v1"
    policy = {"pause_keys": [], "resuming": False, "retry_type": None}
    assert shown["empirical_policy"].items() >= (RETRIES | policy).items()
    assert shown["labels"] == {"prefect.flow.id": flow_id}
    assert shown["work_queue_id"] is None and shown["run_count"] == 0


def test_one_key_makes_one_run(operator: Caller, flow_id: str) -> None:
    body = {"flow_id": flow_id, "idempotency_key": "k"}

    first, second = operator.post("/api/flow_runs/", body), operator.post("/api/flow_runs/", body)

    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["id"] == second.json()["id"]


def test_a_flow_that_is_not_there_or_foreign(operator: Caller, foreigner: Caller, flow_id: str) -> None:
    assert operator.post("/api/flow_runs/", {"flow_id": str(uuid4())}).status_code == 409
    assert foreigner.post("/api/flow_runs/", {"flow_id": flow_id}).status_code == 409


def test_a_viewer_makes_none(viewer: Caller, flow_id: str) -> None:
    assert viewer.post("/api/flow_runs/", {"flow_id": flow_id}).status_code == 403


@pytest.mark.parametrize(
    "wrong",
    [
        {"empirical_policy": {"retries": -1}},
        {"labels": {"a": []}},
        {"context": 1},
        {"state": {"type": "HAPPY"}},
        {"state": {"type": "PENDING", "state_details": {"scheduled_time": "soon"}}},
        {"state": {"type": "PENDING", "data": "x" * 300_000}},
        {"parent_task_run_id": str(uuid4())},
        {"work_pool_name": "nowhere"},
    ],
)
def test_what_makes_no_run(operator: Caller, flow_id: str, wrong: dict[str, Any]) -> None:
    response = operator.post("/api/flow_runs/", {"flow_id": flow_id, **wrong})

    assert response.status_code == 422
    assert response.json()["errors"]


def test_a_run_for_the_workers_of_a_pool(operator: Caller, workspace: Workspace, flow_id: str) -> None:
    make_pool(WorkPool(workspace=workspace, name="px", type="prefect", worker_type="process"))
    body = {"flow_id": flow_id, "work_pool_name": "px", "state": {"type": "SCHEDULED"}}

    made = operator.post("/api/flow_runs/", body).json()

    assert made["work_pool_name"] == "px"
    polled = operator.post("/api/work_pools/px/get_scheduled_flow_runs", {}).json()
    assert [each["flow_run"]["id"] for each in polled] == [made["id"]]


def test_agents_execute_deployments_alone(operator: Caller, flow_id: str) -> None:
    make_queue()

    response = operator.post("/api/flow_runs/", {"flow_id": flow_id, "work_pool_name": "default"})

    assert response.status_code == 422
    assert "choose a Prefect pool" in response.json()["detail"]


def test_changes(operator: Caller, run: dict[str, Any]) -> None:
    path = f"/api/flow_runs/{run['id']}"
    changes = {"name": "main-7", "infrastructure_pid": "42", "flow_version": "v2", "unknown": 1}

    assert change(operator, "PATCH", path, changes).status_code == 204
    assert change(operator, "PATCH", path, {"empirical_policy": {"retries": 9}}).status_code == 204

    shown = operator.get(path).json()
    assert (shown["name"], shown["infrastructure_pid"], shown["flow_version"]) == ("main-7", "42", "v2")
    assert shown["empirical_policy"]["retries"] == 9
    assert shown["parameters"] == {"x": 1}
    assert shown["version"] > run["version"]


def test_labels_are_added(operator: Caller, run: dict[str, Any]) -> None:
    path = f"/api/flow_runs/{run['id']}"

    assert change(operator, "PATCH", f"{path}/labels", {"worker": "w1"}).status_code == 204
    assert change(operator, "PATCH", f"{path}/labels", {"n": 2, "ok": True}).status_code == 204
    assert change(operator, "PATCH", f"{path}/labels", {"n": [1]}).status_code == 422

    labels = operator.get(path).json()["labels"]
    assert labels == run["labels"] | {"worker": "w1", "n": 2, "ok": True}


def test_what_an_agent_executes_is_not_touched(editor: Caller, new_run: NewRun) -> None:
    path = f"/api/flow_runs/{lease(new_run()).id}"

    assert change(editor, "PATCH", path, {"infrastructure_pid": "1"}).status_code == 409
    assert change(editor, "PATCH", path, {"empirical_policy": {"retries": 3}}).status_code == 409
    assert change(editor, "DELETE", path).status_code == 409
    assert change(editor, "PATCH", path, {"name": "better"}).status_code == 204


def test_a_run_is_deleted(editor: Caller, operator: Caller, run: dict[str, Any]) -> None:
    path = f"/api/flow_runs/{run['id']}"

    assert change(operator, "DELETE", path).status_code == 403
    assert change(editor, "DELETE", path).status_code == 204
    assert editor.get(path).status_code == 404
    assert change(editor, "DELETE", path).status_code == 404


def test_history(viewer: Caller, operator: Caller, foreigner: Caller, run: dict[str, Any]) -> None:
    propose(operator, run, type="RUNNING", state_details={"transition_id": "t1", "retriable": False})
    data = {"type": "reference", "storage_key": "k"}
    propose(operator, run, type="COMPLETED", data=data)

    path = f"/api/flow_run_states/?flow_run_id={run['id']}"
    states = viewer.get(path).json()

    assert [state["type"] for state in states] == ["PENDING", "RUNNING", "COMPLETED"]
    assert states[1]["state_details"].items() >= {"transition_id": "t1", "retriable": False}.items()
    assert states[2]["data"] == data and "data" not in states[2]["state_details"]
    assert viewer.get(f"/api/flow_run_states/{states[2]['id']}").json() == states[2]
    assert viewer.get(f"/api/flow_runs/{run['id']}").json()["state"]["data"] == data
    assert foreigner.get(path).status_code == 404
    assert viewer.get("/api/flow_run_states/?flow_run_id=x").status_code == 422


def test_clients_cannot_say_what_agents_say(operator: Caller, run: dict[str, Any]) -> None:
    """Such as where a run's processes are, or that nobody has to be asked."""
    answer = propose(operator, run, type="RUNNING", state_details={"run_name": "x", "pause_over": True})

    assert answer["state"]["state_details"] == {"flow_run_id": run["id"]}


def test_a_failed_flow_waits_in_its_process(operator: Caller, run: dict[str, Any]) -> None:
    propose(operator, run, type="RUNNING")

    answer = propose(operator, run, type="FAILED", message="boom", data={"type": "unpersisted"})

    assert answer["status"] == "REJECT"
    assert (answer["state"]["name"], answer["state"]["message"]) == ("AwaitingRetry", "boom")
    assert answer["state"]["data"] == {"type": "unpersisted"}
    shown = operator.get(f"/api/flow_runs/{run['id']}").json()
    assert shown["empirical_policy"]["retry_type"] == "in_process"
    assert 3000 < propose(operator, run, type="RUNNING")["details"]["delay_seconds"] <= 3600


@pytest.fixture
def parent(run: dict[str, Any]) -> TaskRun:
    """The task run that stands for a subflow of `run`."""
    made = FlowRun.objects.get(id=run["id"])
    return TaskRun.objects.create(
        id=uuid7(), flow_run=made, task_key="child", dynamic_key="0", name="child-0", state_type="PENDING",
        state_name="Pending", state_timestamp=made.created, created=made.created,
    )  # fmt: skip


def test_a_subflow_leads_its_stand_in(
    operator: Caller, run: dict[str, Any], flow_id: str, parent: TaskRun
) -> None:
    child = operator.post(
        "/api/flow_runs/", {"flow_id": flow_id, "parent_task_run_id": str(parent.id)}
    ).json()
    before = FlowRun.objects.get(id=run["id"]).version

    propose(operator, child, type="RUNNING")
    propose(operator, child, type="COMPLETED", name="Nice")

    assert child["root_run_id"] == run["id"]
    parent.refresh_from_db()
    assert (parent.state_type, parent.state_name, parent.run_count) == ("COMPLETED", "Nice", 1)
    assert parent.end_time is not None
    assert [each.name for each in parent.states.order_by("sequence")] == ["Running", "Nice"]
    assert FlowRun.objects.get(id=run["id"]).version == before + 2


def test_cancelling_the_parent_ends_its_subflows(
    operator: Caller, run: dict[str, Any], flow_id: str, parent: TaskRun
) -> None:
    child = operator.post(
        "/api/flow_runs/", {"flow_id": flow_id, "parent_task_run_id": str(parent.id)}
    ).json()
    for each in (run, child):
        propose(operator, each, type="RUNNING")

    propose(operator, run, type="CANCELLING")
    propose(operator, run, type="CANCELLED")

    assert FlowRun.objects.get(id=child["id"]).state_type == "CANCELLED"


def test_a_state_costs_a_steady_number_of_statements(operator: Caller, run: dict[str, Any]) -> None:
    with CaptureQueriesContext(connection) as caught:
        propose(operator, run, type="RUNNING")

    # token, run; savepoint, lock, what Prefect told, store, release
    assert len(caught) <= 8, "\n".join(query["sql"][:80] for query in caught)
