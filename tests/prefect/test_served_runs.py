"""Runs of deployments that Prefect's processes serve: who gets them, and when."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agents.claim import claim
from agents.models import ServiceStatus, WorkQueue
from agents.services.database import database_time
from flows.models import Deployment, Schedule
from runs.models import FlowRun
from runs.session import DjangoSession
from tests.agents.services.builders import make_agent, make_schedule, report_success
from tests.factories import make_run
from tests.portal.fixtures import Caller
from tests.prefect.deploying import DEPLOYMENTS, POOLED, deploy, run_of

pytestmark = pytest.mark.django_db


def test_agents_never_claim_what_prefect_runs(editor: Caller, flow_id: str, pool: str) -> None:
    run_of(editor, deploy(editor, flow_id))
    run_of(editor, deploy(editor, flow_id, POOLED))
    queues = list(WorkQueue.objects.all())

    assert claim(DjangoSession(), make_agent(*queues).id, [queue.id for queue in queues]) is None


def test_the_process_that_serves_gets_its_runs(editor: Caller, flow_id: str) -> None:
    made, other = deploy(editor, flow_id), deploy(editor, flow_id, name="other")
    later, sooner = (
        run_of(editor, made, state={"state_details": {"scheduled_time": f"2020-01-0{day}T00:00:00Z"}}).json()
        for day in (2, 1)
    )
    run_of(editor, other)
    body = {"deployment_ids": [made["id"]], "scheduled_before": "2026-01-01 00:00:00.5+00:00"}

    found = editor.post(f"{DEPLOYMENTS}get_scheduled_flow_runs", body).json()

    assert [run["id"] for run in found] == [sooner["id"], later["id"]]
    assert found[0]["state"]["state_details"]["scheduled_time"].startswith("2020-01-01")
    polled = editor.get(f"{DEPLOYMENTS}{made['id']}").json()
    assert polled["status"] == "READY"
    assert polled["last_polled"] is not None
    assert len(editor.post(f"{DEPLOYMENTS}get_scheduled_flow_runs", {**body, "limit": 1}).json()) == 1


def test_what_agents_run_is_not_handed_out(editor: Caller, deployment: Deployment) -> None:
    make_run(deployment, parameters={"year": 1962})
    body = {"deployment_ids": [str(deployment.id)]}

    assert editor.post(f"{DEPLOYMENTS}get_scheduled_flow_runs", body).json() == []


def test_others_are_not_handed_out(editor: Caller, foreigner: Caller, viewer: Caller, flow_id: str) -> None:
    made = deploy(editor, flow_id)
    run_of(editor, made)
    path, body = f"{DEPLOYMENTS}get_scheduled_flow_runs", {"deployment_ids": [made["id"]]}

    assert foreigner.post(path, body).json() == []
    assert viewer.post(path, body).status_code == 403
    assert editor.post(path, {"deployment_ids": "all"}).status_code == 422
    Deployment.objects.update(paused=True)
    assert editor.post(path, body).json() == []


def planned(caller: Caller, deployment: dict[str, Any], ago: timedelta = timedelta()) -> str:
    """A run that the deployment's schedule made for a time that has passed."""
    run_id: str = run_of(caller, deployment).json()["id"]
    due = database_time() - ago
    run = FlowRun.objects.filter(id=run_id)
    run.update(schedule=Schedule.objects.get(), slot=due, expected_start_time=due)
    return run_id


def test_what_no_scheduler_looked_after_is_not_handed_out(editor: Caller, flow_id: str) -> None:
    """After an outage the missed-runs policy decides first, however soon the process asks."""
    made = deploy(editor, flow_id)
    report_success("materialise", ago=timedelta(minutes=25))
    missed = planned(editor, made, ago=timedelta(minutes=20))
    asked_for = run_of(editor, made).json()["id"]
    path, body = f"{DEPLOYMENTS}get_scheduled_flow_runs", {"deployment_ids": [made["id"]]}

    assert [run["id"] for run in editor.post(path, body).json()] == [asked_for]
    reasons = editor.get(f"/api/flow_runs/{missed}").json()["waiting_on"]
    assert "missed" in [each["code"] for each in reasons]

    ServiceStatus.objects.update(last_success=database_time())
    assert {run["id"] for run in editor.post(path, body).json()} == {missed, asked_for}


def test_pausing_takes_the_plans_of_a_served_deployment_away(editor: Caller, flow_id: str) -> None:
    """As with Prefect: `serve()` pauses when it ends, and does not find a heap of late runs next time."""
    made = deploy(editor, flow_id)
    asked_for = run_of(editor, made).json()["id"]
    planned(editor, made, ago=timedelta(minutes=2))

    assert editor.post(f"{DEPLOYMENTS}{made['id']}/pause_deployment", {}).status_code == 200

    assert [str(run.id) for run in FlowRun.objects.all()] == [asked_for]


def test_pausing_keeps_the_late_runs_that_wait_for_agents(editor: Caller, deployment: Deployment) -> None:
    schedule = make_schedule(deployment, cron="@hourly")
    late = make_run(deployment, parameters={"year": 1962})
    FlowRun.objects.filter(id=late.id).update(schedule=schedule, slot=database_time())

    editor.post(f"{DEPLOYMENTS}{deployment.id}/pause_deployment", {})

    assert FlowRun.objects.filter(id=late.id).exists()


def test_polling_costs_the_same_however_many_runs_wait(editor: Caller, flow_id: str) -> None:
    made = deploy(editor, flow_id)
    body = {"deployment_ids": [made["id"]]}
    costs = []
    for _ in range(2):
        run_of(editor, made)
        with CaptureQueriesContext(connection) as queries:
            editor.post(f"{DEPLOYMENTS}get_scheduled_flow_runs", body)
        costs.append(len(queries))

    assert costs[0] == costs[1] <= 8


def test_a_run_that_nobody_fetches_says_so(editor: Caller, flow_id: str) -> None:
    run = run_of(editor, deploy(editor, flow_id)).json()

    reasons = editor.get(f"/api/flow_runs/{run['id']}").json()["waiting_on"]

    assert reasons[0]["code"] == "served"
    assert "none ever did" in reasons[0]["text"]
