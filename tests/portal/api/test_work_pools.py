"""Work pools and queues by API: ours, and what a Prefect worker asks for."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from agents.models import Worker, WorkPool, WorkQueue
from agents.registry import resolve
from agents.services.database import database_time
from flows.models import Deployment, Workspace
from runs.models import FlowRun
from tests.agents.services.builders import make_agent
from tests.factories import lease, make_run
from tests.portal.fixtures import Caller, deployment_in

POOLS = "/api/work_pools/"


@pytest.fixture
def pool(workspace: Workspace, editor: Caller) -> dict[str, Any]:
    """A pool as a Prefect worker makes it."""
    template = {"job_configuration": {"command": "{{ command }}"}, "variables": {"properties": {}}}
    made = editor.post(POOLS, {"name": "qp", "type": "process", "base_job_template": template})
    assert made.status_code == 201
    return dict(made.json())


def change(caller: Caller, path: str, **body: Any) -> int:
    return send(caller, "patch", path, body).status_code


def send(caller: Caller, method: str, path: str, body: Any = None) -> Any:
    return getattr(caller.client, method)(
        path, body or {}, content_type="application/json", headers={"authorization": f"Bearer {caller.token}"}
    )


def queue(name: str = "default", pool: str = "qp") -> WorkQueue:
    return WorkQueue.objects.get(name=name, work_pool__name=pool)


def on(workspace: Workspace, queue_name: str = "default", pool: str = "qp") -> Deployment:
    """A deployment whose runs wait there."""
    deployment = deployment_in(workspace, name=f"on-{queue_name}")
    Deployment.objects.filter(id=deployment.id).update(work_queue=queue(queue_name, pool))
    deployment.refresh_from_db()
    return deployment


def test_a_pool_of_prefect_s_comes_back_as_it_was_made(pool: dict[str, Any], editor: Caller) -> None:
    again = editor.get(f"{POOLS}qp").json()

    assert again == pool
    assert (pool["type"], pool["kind"], pool["status"]) == ("process", "prefect", "NOT_READY")
    assert (pool["concurrency_limit"], pool["is_paused"], pool["description"]) == (None, False, None)
    assert pool["default_queue_id"] == str(queue().id)
    assert editor.post(POOLS, {"name": "qp", "type": "process"}).status_code == 409


@pytest.mark.parametrize(
    ("given", "kind", "type"),
    [
        ({}, "agents", "agents"),
        ({"type": "agents"}, "agents", "agents"),
        ({"kind": "process"}, "process", "process"),
        ({"type": "docker"}, "prefect", "docker"),
    ],
)
def test_who_executes_the_runs_of_a_pool(editor: Caller, given: dict[str, str], kind: str, type: str) -> None:
    made = editor.post(POOLS, {"name": "new", **given}).json()

    assert (made["kind"], made["type"]) == (kind, type)


def test_pools_are_changed_and_listed(pool: dict[str, Any], editor: Caller, foreigner: Caller) -> None:
    assert change(editor, f"{POOLS}qp", concurrency_limit=3, is_paused=True) == 204
    shown = editor.get(f"{POOLS}qp").json()
    assert (shown["concurrency_limit"], shown["is_paused"], shown["status"]) == (3, True, "PAUSED")

    assert change(editor, f"{POOLS}qp", concurrency_limit=None) == 204
    assert editor.get(f"{POOLS}qp").json()["concurrency_limit"] is None
    assert "qp" in [each["name"] for each in editor.get(POOLS).json()["results"]]
    assert "qp" in [each["name"] for each in editor.post(f"{POOLS}filter", {"work_pools": None}).json()]
    assert editor.post(f"{POOLS}filter").json() != []
    assert foreigner.post(f"{POOLS}filter").json() == []
    assert foreigner.get(f"{POOLS}qp").status_code == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": "a/b"}, 422),
        ({"name": "prefect-mine"}, 403),
        ({"name": "x", "kind": "cloud"}, 422),
        ({"name": "x", "concurrency_limit": -1}, 422),
        ({"name": "x", "base_job_template": []}, 422),
    ],
)
def test_pools_that_cannot_be(editor: Caller, body: dict[str, Any], status: int) -> None:
    assert editor.post(POOLS, body).status_code == status


def test_roles(pool: dict[str, Any], viewer: Caller, operator: Caller) -> None:
    assert viewer.get(f"{POOLS}qp").status_code == 200
    assert operator.post(POOLS, {"name": "new"}).status_code == 403
    assert change(operator, f"{POOLS}qp", is_paused=True) == 403
    assert viewer.post(f"{POOLS}qp/get_scheduled_flow_runs").status_code == 403
    assert operator.post(f"{POOLS}qp/get_scheduled_flow_runs").status_code == 200


def test_queues_of_a_pool(pool: dict[str, Any], editor: Caller) -> None:
    body = {"name": "hi", "description": None, "is_paused": False, "concurrency_limit": None, "priority": 2}
    made = editor.post(f"{POOLS}qp/queues", body)

    assert made.status_code == 201
    high = made.json()
    assert (high["work_pool_name"], high["status"], high["active_slots"]) == ("qp", "NOT_READY", None)
    assert editor.post(f"{POOLS}qp/queues", body).status_code == 409
    assert editor.get(f"{POOLS}qp/queues/hi").json() == high
    listed = editor.post(f"{POOLS}qp/queues/filter", {"work_queues": None}).json()
    assert [each["name"] for each in listed] == ["default", "hi"]
    assert change(editor, f"/api/work_queues/{high['id']}", concurrency_limit=3, is_paused=True) == 204
    changed = editor.get(f"/api/work_queues/{high['id']}").json()
    assert (changed["concurrency_limit"], changed["status"]) == (3, "PAUSED")
    assert change(editor, f"{POOLS}qp/queues/hi", name="other") == 422
    assert editor.get(f"{POOLS}qp/queues/none").status_code == 404


def polled(caller: Caller, **body: Any) -> list[str]:
    """The names of the runs that a worker gets."""
    answer = caller.post(f"{POOLS}qp/get_scheduled_flow_runs", body)
    assert answer.status_code == 200
    return [each["flow_run"]["name"] for each in answer.json()]


@pytest.fixture
def runs(pool: dict[str, Any], editor: Caller, workspace: Workspace) -> None:
    """In the queue with the lower number one run, in the other two, the one due later."""
    editor.post(f"{POOLS}qp/queues", {"name": "hi", "priority": 1})
    change(editor, f"{POOLS}qp/queues/default", priority=9)
    now = database_time()
    low, high = on(workspace), on(workspace, "hi")
    make_run(low, name="low-late", scheduled_time=now - timedelta(seconds=10))
    make_run(low, name="low-early", scheduled_time=now - timedelta(seconds=30))
    make_run(high, name="high", scheduled_time=now)
    make_run(high, name="tomorrow", scheduled_time=now + timedelta(days=1))


@pytest.mark.usefixtures("runs")
def test_what_a_worker_gets(operator: Caller) -> None:
    now = f"{database_time()}"  # with a space instead of the T, as the client writes it

    assert polled(operator, scheduled_before=now) == ["high", "low-early", "low-late"]
    assert polled(operator, scheduled_before=now) == ["high", "low-early", "low-late"]
    assert polled(operator) == ["high", "tomorrow", "low-early", "low-late"]
    assert polled(operator, scheduled_before=now, work_queue_names=["default"]) == ["low-early", "low-late"]
    assert polled(operator, scheduled_before=now, limit=1) == ["high"]
    assert operator.post(f"{POOLS}qp/get_scheduled_flow_runs", {"work_queue_names": ["x"]}).status_code == 404


@pytest.mark.usefixtures("runs")
def test_what_a_worker_gets_has_ids(operator: Caller) -> None:
    (first,) = operator.post(f"{POOLS}qp/get_scheduled_flow_runs", {"limit": 1}).json()

    assert first["work_queue_id"] == str(queue("hi").id)
    assert first["work_pool_id"] == str(queue().work_pool_id)
    assert first["flow_run"]["state"]["type"] == "SCHEDULED"
    assert operator.get(f"{POOLS}qp/queues/hi").json()["status"] == "READY"  # polled just now


@pytest.mark.usefixtures("runs")
def test_limits_and_pauses_cap_what_a_worker_gets(operator: Caller, editor: Caller) -> None:
    now = f"{database_time()}"
    change(editor, f"{POOLS}qp", concurrency_limit=1)
    assert polled(operator, scheduled_before=now) == ["high"]
    FlowRun.objects.filter(name="high").update(state_type="PENDING")
    assert polled(operator, scheduled_before=now) == []
    change(editor, f"{POOLS}qp", concurrency_limit=None)
    change(editor, f"{POOLS}qp/queues/default", concurrency_limit=1)
    assert polled(operator, scheduled_before=now) == ["low-early"]
    change(editor, f"{POOLS}qp", is_paused=True)
    assert polled(operator, scheduled_before=now) == []


def test_pools_of_agents_hand_out_nothing(editor: Caller, operator: Caller, workspace: Workspace) -> None:
    editor.post(POOLS, {"name": "qp", "kind": "process"})
    make_run(on(workspace))

    assert polled(operator) == []


def test_a_worker_that_beats_is_online(pool: dict[str, Any], operator: Caller) -> None:
    path = f"{POOLS}qp/workers/"
    body = {"name": "probe", "heartbeat_interval_seconds": 2}

    assert operator.post(f"{path}heartbeat", body).status_code == 204
    assert operator.post(f"{path}heartbeat", body).status_code == 204
    (worker,) = operator.post(f"{path}filter", {"workers": None}).json()
    assert (worker["name"], worker["status"]) == ("probe", "ONLINE")
    assert operator.get(f"{POOLS}qp").json()["status"] == "READY"

    Worker.objects.update(last_heartbeat_time=database_time() - timedelta(seconds=7))
    assert operator.post(f"{path}filter").json()[0]["status"] == "OFFLINE"
    assert operator.get(f"{POOLS}qp").json()["status"] == "NOT_READY"


def test_a_pool_that_agents_serve_is_ready(editor: Caller, workspace: Workspace) -> None:
    make_agent(resolve("default", workspace.name))

    assert editor.get(f"{POOLS}default").json()["status"] == "READY"


def test_a_queue_that_is_needed_is_not_deleted(
    pool: dict[str, Any], editor: Caller, workspace: Workspace
) -> None:
    WorkPool.objects.update(type="agents")
    editor.post(f"{POOLS}qp/queues", {"name": "hi"})
    make_run(on(workspace, "hi"), name="waits")

    refused = send(editor, "delete", f"{POOLS}qp/queues/hi")

    assert refused.status_code == 409
    assert "needed by 1 waiting and 0 other open runs and by 1 deployments" in refused.json()["detail"]


def test_what_needs_a_deleted_queue_moves_to_the_default_queue(
    pool: dict[str, Any], editor: Caller, workspace: Workspace
) -> None:
    editor.post(f"{POOLS}qp/queues", {"name": "hi"})
    deployment = on(workspace, "hi")
    waiting, running, over = (make_run(deployment) for _ in range(3))
    lease(running)
    FlowRun.objects.filter(id=over.id).update(state_type="COMPLETED")

    assert send(editor, "delete", f"{POOLS}qp/queues/hi?force=true").status_code == 204

    assert not WorkQueue.objects.filter(name="hi").exists()
    queues = dict(FlowRun.objects.values_list("id", "work_queue"))
    assert queues == {waiting.id: queue().id, running.id: queue().id, over.id: None}
    deployment.refresh_from_db()
    assert deployment.work_queue == queue()


def test_what_needs_a_deleted_pool_moves_to_the_default_pool(
    pool: dict[str, Any], editor: Caller, workspace: Workspace
) -> None:
    WorkPool.objects.update(type="agents")
    waiting = make_run(on(workspace))

    assert send(editor, "delete", f"{POOLS}qp").status_code == 409
    assert send(editor, "delete", f"{POOLS}qp?force=true").status_code == 204

    assert not WorkPool.objects.filter(name="qp").exists()
    waiting.refresh_from_db()
    assert waiting.work_queue == queue(pool="default")


def test_nothing_of_a_deleted_prefect_pool_goes_to_agents(
    pool: dict[str, Any], editor: Caller, workspace: Workspace
) -> None:
    deployment = on(workspace)
    waiting = make_run(deployment)

    assert send(editor, "delete", f"{POOLS}qp").status_code == 204, "their clients have asked before"

    deployment.refresh_from_db()
    waiting.refresh_from_db()
    assert (deployment.work_queue, waiting.work_queue, waiting.state_type) == (None, None, "SCHEDULED")


@pytest.mark.parametrize("path", [f"{POOLS}default", f"{POOLS}default/queues/default"])
def test_the_defaults_stay(editor: Caller, workspace: Workspace, path: str) -> None:
    resolve("default", workspace.name)

    assert send(editor, "delete", f"{path}?force=true").status_code == 409


def test_run_next(new_run: Callable[..., FlowRun], operator: Caller, viewer: Caller) -> None:
    run = new_run()
    path = f"/api/flow_runs/{run.id}/run_next"

    assert viewer.post(path).status_code == 403
    assert operator.post(path).json()["priority"] == 32767
    FlowRun.objects.update(state_type="COMPLETED")
    assert operator.post(path).status_code == 409


@pytest.mark.parametrize(("priority", "status"), [(10, 201), (-10, 201), (11, 422), ("high", 422)])
def test_a_run_is_made_with_a_priority(
    operator: Caller, deployment: Deployment, priority: Any, status: int
) -> None:
    body = {"parameters": {"year": 1962}, "priority": priority}
    answer = operator.post(f"/api/deployments/{deployment.id}/create_flow_run", body)

    assert answer.status_code == status
    assert status != 201 or answer.json()["priority"] == priority


@pytest.mark.parametrize(
    "given",
    [
        {"collision_strategy": "CANCEL_NEW"},
        {"concurrency_options": {"collision_strategy": "CANCEL_NEW"}},
    ],
)
def test_a_deployment_is_made_with_a_limit(editor: Caller, given: dict[str, Any]) -> None:
    body = {"flow_name": "etl", "name": "prod", "entrypoint": "etl.py:etl", "concurrency_limit": 2}

    made = editor.post("/api/deployments/", {**body, **given}).json()

    assert (made["concurrency_limit"], made["collision_strategy"]) == (2, "CANCEL_NEW")
    assert made["concurrency_options"] == {"collision_strategy": "CANCEL_NEW"}
    for wrong in ({"concurrency_limit": -1}, {"collision_strategy": "SHOUT"}):
        assert editor.post("/api/deployments/", {**body, **wrong}).status_code == 422


PROCESSES = {
    "python": "/opt/venvs/etl",
    "environment": {"CITY": "Oslo"},
    "working_dir": "/srv",
    "memory_mb": 512,
    "cpu_seconds": 60,
}


def test_a_pool_says_how_its_processes_start(editor: Caller) -> None:
    made = editor.post(POOLS, {"name": "apart", "kind": "process", **PROCESSES}).json()
    assert {name: made[name] for name in PROCESSES} == PROCESSES

    assert change(editor, f"{POOLS}apart", memory_mb=None, environment={}, python="") == 204

    shown = editor.get(f"{POOLS}apart").json()
    assert (shown["memory_mb"], shown["environment"], shown["python"]) == (None, {}, "")
    assert shown["cpu_seconds"] == 60


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"memory_mb": 8}, "greater than or equal to 128"),
        ({"cpu_seconds": 0}, "greater than or equal to 1"),
        ({"environment": ["CITY"]}, "must be a JSON object"),
        ({"environment": {"CITY": 3}}, "It must have a text as the value of CITY."),
        ({"environment": {"CI=TY": "Oslo"}}, "It has 'CI=TY', which is no name of an environment variable."),
    ],
)
def test_what_no_process_could_start_with_is_refused(
    editor: Caller, wrong: dict[str, Any], complaint: str
) -> None:
    answer = editor.post(POOLS, {"name": "apart", "kind": "process", **wrong})

    assert answer.status_code == 422
    assert complaint in answer.content.decode()
