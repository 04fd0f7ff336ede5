"""Define a deployment over HTTP, find it, run it."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from flows.models import Deployment, Schedule
from runs.models import FlowRun
from tests.portal.fixtures import SCHEMA, Caller

pytestmark = pytest.mark.django_db


def body(**changes: Any) -> dict[str, Any]:
    return {
        "flow_name": "weather-report",
        "name": "daily",
        "entrypoint": "weather.py:weather_report",
        "parameter_openapi_schema": SCHEMA,
    } | changes


def test_a_flow_and_its_deployment_are_made_as_prefect_clients_do(editor: Caller) -> None:
    flow = editor.post("/api/flows/", {"name": "weather-report"})
    made = editor.post("/api/deployments/", body(flow_id=flow.json()["id"], flow_name=None))

    assert (flow.status_code, made.status_code) == (201, 201)
    assert made.json()["flow_id"] == flow.json()["id"]
    assert made.json()["work_queue_name"] is None, "its process fetches the runs itself"


def test_making_them_again_changes_what_is_there(editor: Caller) -> None:
    first = editor.post("/api/deployments/", body(description="old"))
    again = editor.post("/api/deployments/", body(description="new"))

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["id"] == first.json()["id"]
    assert again.json()["description"] == "new"


def test_crash_retries_may_be_set_for_a_deployment(editor: Caller) -> None:
    made = editor.post("/api/deployments/", body(crash_retries=2, crash_retry_delay_seconds=1.5)).json()
    assert (made["crash_retries"], made["crash_retry_delay_seconds"]) == (2, 1.5)
    assert editor.post("/api/deployments/", body()).json()["crash_retries"] is None
    assert editor.post("/api/deployments/", body(crash_retries=-1)).status_code == 422


@pytest.mark.parametrize("spelling", ["weather-report", "weather_report"])
@pytest.mark.parametrize("slash", ["", "/"])
def test_it_is_found_by_name(viewer: Caller, deployment: Deployment, spelling: str, slash: str) -> None:
    found = viewer.get(f"/api/deployments/name/{spelling}/seattle{slash}")

    assert found.status_code == 200
    assert found.json()["id"] == str(deployment.id)


def test_schedules_come_back_as_they_went_in(editor: Caller) -> None:
    made = editor.post(
        "/api/deployments/",
        body(
            schedules=[
                {"schedule": {"cron": "0 6 * * *", "timezone": "Europe/Berlin"}, "active": False},
                {"schedule": {"interval": 90.5}, "parameters": {"year": 2000}},
            ]
        ),
    )

    cron, interval = made.json()["schedules"]
    assert cron["schedule"] == {"cron": "0 6 * * *", "day_or": True, "timezone": "Europe/Berlin"}
    assert cron["active"] is False
    assert interval["schedule"]["interval"] == 90.5
    assert interval["parameters"] == {"year": 2000}


def test_equal_schedules_keep_their_ids_and_their_switch(editor: Caller) -> None:
    nightly = {"schedule": {"cron": "0 3 * * *"}}
    editor.post("/api/deployments/", body(schedules=[nightly, {"schedule": {"interval": 60}}]))
    kept = Schedule.objects.get(cron="0 3 * * *")
    Schedule.objects.filter(id=kept.id).update(active=False)

    again = editor.post("/api/deployments/", body(schedules=[nightly]))

    assert [(s["id"], s["active"]) for s in again.json()["schedules"]] == [(str(kept.id), False)]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "a/b"}, "name"),
        ({"name": "x" * 300}, "name"),
        ({"flow_name": None}, "flow_id"),
        ({"entrypoint": None}, "entrypoint"),
        ({"parameters": [1]}, "parameters"),
        ({"parameters": {"text": "x" * 600_000}}, "parameters"),
        ({"parameters": {"text": "x" * 600_000}}, "parameters"),
        ({"parameter_openapi_schema": {"type": "nonsense"}}, "parameter_openapi_schema"),
        ({"schedules": [{"schedule": {"cron": "61 * * * *"}}]}, "schedules"),
        ({"schedules": [{"schedule": {"cron": "* * * * *", "timezone": "Mars/Olympus"}}]}, "schedules"),
        ({"schedules": [{"schedule": {"interval": 0}}]}, "schedules.0.schedule.interval"),
        ({"schedules": [{"schedule": {"interval": 1e300}}]}, "schedules.0.schedule.interval"),
        ({"schedules": [{"schedule": {}}]}, "schedules"),
        ({"schedules": [{"schedule": {"rrule": "FREQ=SECONDLY"}}]}, "schedules"),
        ({"schedules": [{"schedule": {"cron": "@daily", "rrule": "FREQ=DAILY"}}]}, "schedules"),
        (
            {"schedules": [{"schedule": {"interval": 60, "anchor_date": "0001-01-01"}}]},
            "schedules.0.schedule.anchor_date",
        ),
        ({"schedules": [{"schedule": {"cron": "@daily"}, "calendar": "nowhere"}]}, "schedules"),
        ({"schedules": [{"schedule": {"cron": "@daily"}, "missed_runs": "some"}]}, "schedules.0.missed_runs"),
        ({"schedules": [{"schedule": {"cron": "@daily"}, "slug": "a"}] * 2}, "schedules"),
        ({"work_queue_name": "a/b"}, "work_queue_name"),
        ({"work_pool_name": "nowhere"}, "work_queue_name"),
        ({"tags": "a"}, "tags"),
    ],
)
def test_bad_input_names_the_field(editor: Caller, changes: dict[str, Any], field: str) -> None:
    refused = editor.post("/api/deployments/", body(**changes))

    assert refused.status_code == 422
    assert [each["field"] for each in refused.json()["errors"]] == [field]
    assert not Deployment.objects.exists()


def test_a_run_is_created(operator: Caller, deployment: Deployment) -> None:
    made = operator.post(
        f"/api/deployments/{deployment.id}/create_flow_run",
        {"parameters": {"year": 1962}, "name": "first", "tags": ["etl"], "labels": {"new": "field"}},
    )

    assert made.status_code == 201
    run = FlowRun.objects.get()
    assert made.json()["id"] == str(run.id)
    assert (run.name, run.parameters, run.tags) == ("first", {"year": 1962}, ["etl"])
    assert run.created_by["display_value"] == "operator-default"
    assert made.json()["state"]["type"] == "SCHEDULED"


def test_creating_a_run_costs_five_statements(operator: Caller, deployment: Deployment) -> None:
    with CaptureQueriesContext(connection) as queries:
        operator.post(f"/api/deployments/{deployment.id}/create_flow_run", {"parameters": {"year": 1962}})

    statements = [each["sql"] for each in queries if "SAVEPOINT" not in each["sql"]]
    assert len(statements) == 5  # token, role, deployment, insert, answer


def test_a_run_is_created_for_later(operator: Caller, deployment: Deployment) -> None:
    made = operator.post(
        f"/api/deployments/{deployment.id}/create_flow_run",
        {
            "parameters": {"year": 1962},
            "state": {"type": "SCHEDULED", "state_details": {"scheduled_time": "2030-01-02T03:04:05+01:00"}},
        },
    )

    assert made.json()["expected_start_time"] == "2030-01-02T02:04:05Z"


def test_an_idempotency_key_makes_one_run(operator: Caller, deployment: Deployment) -> None:
    path = f"/api/deployments/{deployment.id}/create_flow_run"
    request = {"parameters": {"year": 1962}, "idempotency_key": "order-7"}

    first, again = operator.post(path, request), operator.post(path, request)

    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"year": "soon"}, "year"),
        ({"year": 1800}, "year"),
        ({"year": True}, "year"),
        ({}, "year"),
        ({"year": 1962, "colour": "red"}, "colour"),
        ({"year": 1962, "city": None}, "city"),
        ({"year": 2**80}, "year"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(
    operator: Caller, deployment: Deployment, parameters: dict[str, Any], field: str
) -> None:
    refused = operator.post(f"/api/deployments/{deployment.id}/create_flow_run", {"parameters": parameters})

    assert refused.status_code == 409
    assert [each["field"] for each in refused.json()["errors"]] == [field]
    assert field in refused.json()["detail"]
    assert not FlowRun.objects.exists()


def test_the_deployments_own_parameters_count(editor: Caller) -> None:
    made = editor.post("/api/deployments/", body(parameters={"year": 1970})).json()

    run = editor.post(f"/api/deployments/{made['id']}/create_flow_run", {"parameters": {"city": "Seattle"}})

    assert run.json()["parameters"] == {"year": 1970, "city": "Seattle"}


@pytest.mark.parametrize(
    "path", ["name/weather-report/nowhere", "name/a%00b/c", "00000000-0000-0000-0000-000000000000", "7"]
)
def test_an_unknown_deployment_is_a_404_in_json(viewer: Caller, path: str) -> None:
    answer = viewer.get(f"/api/deployments/{path}")

    assert answer.status_code == 404
    assert answer.json()["detail"]


def test_whether_an_agent_may_hand_its_runs_back_stays_as_it_was_set(editor: Caller) -> None:
    assert editor.post("/api/deployments/", body()).json()["hand_back"] is True
    assert editor.post("/api/deployments/", body(hand_back=False)).json()["hand_back"] is False
    assert editor.post("/api/deployments/", body()).json()["hand_back"] is False


def test_job_variables_of_the_deployment_and_of_its_runs(editor: Caller) -> None:
    made = editor.post("/api/deployments/", body(job_variables={"memory": 512, "image": "etl"})).json()
    path = f"/api/deployments/{made['id']}/create_flow_run"
    run = editor.post(path, {"parameters": {"year": 1962}, "job_variables": {"memory": 8}}).json()

    assert made["job_variables"] == {"memory": 512, "image": "etl"}
    assert (run["job_variables"], run["crash_count"]) == ({"memory": 8}, 0)
    assert editor.post(path, {"parameters": {"year": 1962}, "job_variables": "big"}).status_code == 422
    assert (
        editor.post(path, {"parameters": {"year": 1962}, "job_variables": {"a": "x" * 600_000}}).status_code
        == 422
    )


def test_a_deployment_may_let_any_parameters_pass(editor: Caller) -> None:
    made = editor.post("/api/deployments/", body(enforce_parameter_schema=False)).json()
    path = f"/api/deployments/{made['id']}/create_flow_run"

    assert made["enforce_parameter_schema"] is False
    assert editor.post(path, {"parameters": {"year": "soon", "other": 1}}).status_code == 201
