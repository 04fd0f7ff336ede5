"""Flows and deployments as Prefect's clients make, change and delete them."""

from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agents.models import WorkPool, WorkQueue
from agents.pools import InUseError, check_type
from flows.models import Deployment, Schedule
from runs.models import FlowRun
from tests.factories import make_deployment, make_queue
from tests.portal.fixtures import Caller
from tests.prefect.deploying import DEPLOYMENTS, POOLED, SERVED, deploy, run_of

pytestmark = pytest.mark.django_db


def test_a_flow_is_made_once(editor: Caller) -> None:
    body = {"name": "etl", "tags": ["a"], "labels": {"team": "blue", "rank": 1, "hot": True}}

    first, again = editor.post("/api/flows/", body), editor.post("/api/flows/", body)

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    assert first.json()["labels"] == body["labels"]
    assert editor.get("/api/flows/name/etl").json() == first.json()
    assert editor.get("/api/flows/name/nope").status_code == 404


@pytest.mark.parametrize("labels", [["a"], {"a": {}}, {"a": None}, {str(n): n for n in range(600)}])
def test_labels_are_simple(editor: Caller, labels: Any) -> None:
    assert editor.post("/api/flows/", {"name": "etl", "labels": labels}).status_code == 422


def test_a_served_deployment_has_no_queue(editor: Caller, flow_id: str) -> None:
    made = deploy(editor, flow_id)

    assert (made["work_queue_name"], made["work_pool_name"], made["work_queue_id"]) == (None, None, None)
    assert (made["status"], made["last_polled"]) == ("NOT_READY", None)
    assert (made["path"], made["entrypoint"], made["pull_steps"]) == (".", "scen/s3.py:served", [])
    assert made["labels"] == {"prefect.flow.id": flow_id, "team": "blue"}
    (schedule,) = made["schedules"]
    assert schedule["schedule"] == {"cron": "* * * * *", "day_or": True, "timezone": "UTC"}
    assert schedule["max_scheduled_runs"] == 2
    assert editor.get(f"{DEPLOYMENTS}name/served/served-dep").json()["id"] == made["id"]
    assert editor.get(f"{DEPLOYMENTS}name/served/other").status_code == 404


def test_deploying_again_changes_it(editor: Caller, flow_id: str) -> None:
    first = deploy(editor, flow_id)
    again = editor.post(DEPLOYMENTS, {**SERVED, "flow_id": flow_id, "description": "new"})

    assert again.status_code == 200
    assert (again.json()["id"], again.json()["description"]) == (first["id"], "new")


def test_a_deployment_to_a_pool_makes_its_queue(editor: Caller, flow_id: str, pool: str) -> None:
    made = deploy(editor, flow_id, POOLED)

    assert (made["work_pool_name"], made["work_queue_name"]) == ("px", "high")
    assert WorkQueue.objects.get(name="high").priority == 2, "after all others"
    assert made["pull_steps"] == POOLED["pull_steps"]
    assert made["schedules"][0]["schedule"]["interval"] == 3600.0
    assert (made["concurrency_limit"], made["global_concurrency_limit"]["limit"]) == (1, 1)
    assert made["global_concurrency_limit"]["active_slots"] == 0


@pytest.mark.parametrize(
    ("changes", "status", "says"),
    [
        ({"work_pool_name": "nowhere"}, 404, "prefect work-pool create nowhere"),
        ({"work_pool_name": "default"}, 409, "cannot run Prefect's code"),
        ({"work_pool_name": "px", "work_queue_name": "a/b"}, 422, "Use letters"),
        ({"flow_id": str(uuid4())}, 404, "There is no flow"),
        ({"pull_steps": "clone"}, 422, "pull_steps"),
        ({"pull_steps": [1]}, 422, "pull_steps"),
        ({"labels": {"a": []}}, 422, "labels"),
        ({"schedules": [{"schedule": {"cron": "x"}}]}, 422, "schedules"),
        (
            {"schedules": [{"schedule": {"cron": "@daily"}, "max_scheduled_runs": 0}]},
            422,
            "max_scheduled_runs",
        ),
        ({"concurrency_options": {"collision_strategy": "FIGHT"}}, 422, "collision_strategy"),
        ({"name": "a/b"}, 422, "name"),
    ],
)
def test_what_cannot_be_deployed(
    editor: Caller, flow_id: str, pool: str, changes: dict[str, Any], status: int, says: str
) -> None:
    make_queue()

    refused = editor.post(DEPLOYMENTS, {**SERVED, "flow_id": flow_id, **changes})

    assert refused.status_code == status
    assert says in refused.json()["detail"]
    assert not Deployment.objects.exists()


def test_a_prefect_client_does_not_take_over_what_agents_run(editor: Caller, deployment: Deployment) -> None:
    body = {**SERVED, "flow_id": str(deployment.flow_id), "name": deployment.name}

    refused = editor.post(DEPLOYMENTS, body)

    assert refused.status_code == 409
    assert "Portal's own" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"paused": True}, {"paused": True}),
        ({"description": None, "tags": ["x"]}, {"description": "", "tags": ["x"]}),
        ({"concurrency_limit": 2, "concurrency_options": {"collision_strategy": "CANCEL_NEW"}},
         {"concurrency_limit": 2, "concurrency_options": {"collision_strategy": "CANCEL_NEW"}}),
        ({"parameters": {"x": 1}}, {"parameters": {"x": 1}, "job_variables": {}}),
        ({"pull_steps": [{"clone": {}}], "path": "/srv"}, {"pull_steps": [{"clone": {}}], "path": "/srv"}),
        ({"work_pool_name": "px"}, {"work_pool_name": "px", "work_queue_name": "default"}),
        ({"version": "2", "unknown": 1, "name": "other"}, {"version": "2", "name": "served-dep"}),
    ],
)  # fmt: skip
def test_it_is_changed(
    editor: Caller, flow_id: str, pool: str, change: dict[str, Any], shown: dict[str, Any]
) -> None:
    made = deploy(editor, flow_id)

    assert editor.patch(f"{DEPLOYMENTS}{made['id']}", change).status_code == 204

    now = editor.get(f"{DEPLOYMENTS}{made['id']}").json()
    assert {name: now[name] for name in shown} == shown
    assert now["schedules"] == made["schedules"]


def test_new_schedules_take_the_place_of_the_old(editor: Caller, flow_id: str) -> None:
    made = deploy(editor, flow_id)

    editor.patch(f"{DEPLOYMENTS}{made['id']}", {"schedules": [{"schedule": {"rrule": "FREQ=DAILY"}}]})

    (schedule,) = editor.get(f"{DEPLOYMENTS}{made['id']}/schedules").json()
    assert schedule["schedule"]["rrule"] == "FREQ=DAILY"


def test_portals_own_deployments_are_changed_alike(editor: Caller, deployment: Deployment) -> None:
    path = f"{DEPLOYMENTS}{deployment.id}"

    assert editor.patch(path, {"crash_retries": 2, "work_queue_name": "fast"}).status_code == 204
    assert editor.patch(path, {"crash_retries": None, "parameters": {"year": 1}}).status_code == 204

    now = editor.get(path).json()
    assert (now["crash_retries"], now["work_queue_name"], now["parameters"]) == (None, "fast", {"year": 1})
    assert now["version_number"] == 3, "each change made a version"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"work_pool_name": "px"}, 409), ({"work_pool_name": "nowhere"}, 422), ({"paused": "maybe"}, 422),
        ({"parameters": [1]}, 422), ({"schedules": [{"active": False}]}, 422), ([1], 422),
    ],
)  # fmt: skip
def test_a_change_that_cannot_be(
    editor: Caller, deployment: Deployment, pool: str, body: Any, status: int
) -> None:
    assert editor.patch(f"{DEPLOYMENTS}{deployment.id}", body).status_code == status
    deployment.refresh_from_db()
    assert deployment.work_queue is not None
    assert deployment.work_queue.work_pool.name == "default"


def test_a_viewer_changes_and_deletes_nothing(viewer: Caller, deployment: Deployment) -> None:
    path = f"{DEPLOYMENTS}{deployment.id}"

    assert viewer.patch(path, {"paused": True}).status_code == 403
    assert viewer.delete(path).status_code == 403
    assert viewer.post(f"{path}/pause_deployment").status_code == 403


def test_it_is_paused_and_resumed(editor: Caller, deployment: Deployment) -> None:
    path = f"{DEPLOYMENTS}{deployment.id}"

    assert editor.post(f"{path}/pause_deployment").status_code == 200
    assert editor.get(path).json()["paused"] is True
    assert editor.post(f"{path}/resume_deployment").status_code == 200
    assert editor.get(path).json()["paused"] is False


def test_a_run_is_made_as_prefects_clients_ask(editor: Caller, flow_id: str) -> None:
    made = deploy(editor, flow_id)
    scheduled = {"type": "SCHEDULED", "name": "Scheduled", "message": None, "data": None}
    details = {"scheduled_time": "2026-11-25 08:52:19.513348+00:00", "traceparent": None}

    answer = run_of(
        editor, made, state={**scheduled, "state_details": details}, parameters={"x": 42}, name=None,
        context={}, tags=["z"], labels={"hot": True}, idempotency_key="k", parent_task_run_id=None,
        job_variables={"A": "B"},
    )  # fmt: skip

    run = answer.json()
    assert answer.status_code == 201
    assert (run["parameters"], run["tags"], run["job_variables"]) == ({"x": 42}, ["srv", "z"], {"A": "B"})
    assert (run["work_queue_id"], run["work_pool_name"]) == (None, None)
    assert run["labels"] == {
        "prefect.flow.id": flow_id, "prefect.deployment.id": made["id"], "team": "blue", "hot": True,
    }  # fmt: skip
    assert run["expected_start_time"].startswith("2026-11-25T08:52:19.513348")
    assert run["state"]["state_details"]["scheduled_time"] == run["expected_start_time"]
    again = run_of(editor, made, idempotency_key="k")
    assert (again.status_code, again.json()["id"]) == (200, run["id"])


def test_parameters_that_do_not_fit(editor: Caller, flow_id: str) -> None:
    made = deploy(editor, flow_id)

    assert run_of(editor, made, parameters={"x": "str"}).status_code == 409
    assert run_of(editor, made, parameters={"x": "str"}, enforce_parameter_schema=False).status_code == 201


def test_a_deleted_deployment_takes_its_plans_with_it(editor: Caller, flow_id: str) -> None:
    made = deploy(editor, flow_id)
    asked_for = run_of(editor, made).json()["id"]
    running = run_of(editor, made).json()["id"]
    FlowRun.objects.filter(id=running).update(state_type="RUNNING", run_count=1)
    planned = run_of(editor, made).json()["id"]
    FlowRun.objects.filter(id=planned).update(schedule=Schedule.objects.get())

    assert editor.delete(f"{DEPLOYMENTS}{made['id']}").status_code == 204

    assert editor.get(f"{DEPLOYMENTS}{made['id']}").status_code == 404
    states = {str(run.id): run.state_type for run in FlowRun.objects.all()}
    assert states == {asked_for: "CANCELLED", running: "RUNNING"}


def test_deployments_and_flows_are_found_by_each_other(editor: Caller, flow_id: str, pool: str) -> None:
    made = deploy(editor, flow_id, POOLED)
    deploy(editor, flow_id)
    editor.post("/api/flows/", {"name": "alone"})

    def deployments(**body: Any) -> list[str]:
        return [each["name"] for each in editor.post(f"{DEPLOYMENTS}filter", body).json()]

    def flows(**body: Any) -> list[str]:
        return [each["name"] for each in editor.post("/api/flows/filter", body).json()]

    assert deployments() == ["pool-dep", "served-dep"]
    assert deployments(flows=None, work_pools={"name": {"any_": ["px"]}}) == ["pool-dep"]
    assert deployments(flows={"id": {"any_": [flow_id]}}, sort="NAME_DESC") == ["served-dep", "pool-dep"]
    assert deployments(deployments={"tags": {"all_": ["srv"]}}, limit=None, offset=0) == ["served-dep"]
    assert flows(deployments={"id": {"any_": [made["id"]]}}, sort="CREATED_DESC") == ["served"]
    assert flows(flows={"deployment": {"is_null_": True}}) == ["alone"]
    assert editor.post("/api/flows/count").json() == 2
    assert editor.post(f"{DEPLOYMENTS}count", {"flows": {"name": {"any_": ["alone"]}}}).json() == 0


@pytest.mark.parametrize("resource", ["flows", "deployments", "work_pools", "work_queues", "variables"])
def test_lists_refuse_what_they_do_not_understand(
    editor: Caller, foreigner: Caller, deployment: Deployment, resource: str
) -> None:
    path = f"/api/{resource}/filter"

    for wrong in ({"sort": "NICE"}, {"limit": 201}, {"offset": -1}, {resource: {"id": {"any_": ["x"]}}}, [1]):
        assert editor.post(path, wrong).status_code == 422, wrong
    assert editor.post(f"/api/{resource}/count", [1]).status_code == 422
    assert foreigner.post(path, {}).json() == []


def test_a_pool_with_deployments_does_not_change_sides(pool: str, editor: Caller, flow_id: str) -> None:
    deploy(editor, flow_id, POOLED)
    found = WorkPool.objects.get(name="px")

    with pytest.raises(InUseError, match="Deployments use this pool"):
        check_type(found, "agents")
    check_type(WorkPool.objects.get_or_create(workspace=found.workspace, name="empty")[0], "prefect")


def test_lists_of_deployments_cost_the_same_however_many_there_are(editor: Caller) -> None:
    costs = []
    for _ in range(2):
        make_deployment(name=f"d{len(costs)}", concurrency_limit=1)
        with CaptureQueriesContext(connection) as queries:
            editor.post(f"{DEPLOYMENTS}filter", {})
        costs.append(len(queries))

    assert costs[0] == costs[1] <= 8
