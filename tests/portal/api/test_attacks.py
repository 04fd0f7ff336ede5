"""What attackers and careless callers tried, and what it comes to."""

from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib.auth import get_user_model
from django.db import IntegrityError
from django.test import Client

from agents.services.materialise import Materialiser
from flows.models import Calendar, Deployment, Membership, Schedule, Workspace
from flows.sdk.sealing import call_name
from portal.api.base.errors import handle
from runs.models import FlowRun, RetentionPolicy
from runs.results import signer_of
from runs.run_tokens import make_run_token
from tests.portal.fixtures import Caller, deployment_in, staff

pytestmark = pytest.mark.django_db

HUGE = 1e300  # PostgreSQL gives it back as an integer of 301 digits


def process_of(run: FlowRun) -> Caller:
    """The process that executes the run."""
    lease = datetime.now(UTC) + timedelta(seconds=8)
    FlowRun.objects.filter(id=run.id).update(attempt=1, lease_expires=lease, state_type="RUNNING")
    return Caller(make_run_token(run.id, 1), Client(raise_request_exception=True))


def test_a_key_of_a_runs_process_finds_no_run_of_others(
    operator: Caller, deployment: Deployment, new_run: Any
) -> None:
    path, wanted = f"/api/deployments/{deployment.id}/create_flow_run", {"parameters": {"year": 1962}}
    keyed = {**wanted, "idempotency_key": "monday"}
    of_operator = operator.post(path, {**keyed, "parameters": {"year": 1999}}).json()
    one, other = process_of(new_run()), process_of(new_run())

    first, again, of_other = one.post(path, keyed), one.post(path, keyed), other.post(path, keyed)

    assert [each.status_code for each in (first, again, of_other)] == [201, 200, 201]
    assert again.json()["id"] == first.json()["id"]
    assert len({of_operator["id"], first.json()["id"], of_other.json()["id"]}) == 3


def both(role_here: str, role_there: str, here: Workspace, there: Workspace) -> Client:
    """A browser of somebody who is a member of two workspaces."""
    client = staff(here, role_here)
    user = get_user_model().objects.get(username=f"{role_here}-{here.name}")
    Membership.objects.create(user=user, workspace=there, role=role_there)
    return client


def test_a_role_in_one_workspace_is_none_in_another(
    workspace: Workspace, elsewhere: Workspace, foreigner: Caller
) -> None:
    task = {"id": str(uuid4()), "task_key": "k", "name": "n"}
    call = signer_of(elsewhere.id).sign(call_name(UUID(task["id"])), b"opaque")
    foreigner.post("/api/background_tasks/", {**task, "content": b64encode(call).decode()})
    client = both("admin", "viewer", workspace, elsewhere)
    policy = {"deployment_id": str(deployment_in(elsewhere).id), "keep_days": 1}

    assert client.get(f"/api/background_tasks/{task['id']}").status_code == 200
    assert client.get(f"/api/background_tasks/{task['id']}/result").status_code == 403
    made = client.post("/api/retention_policies/", policy, content_type="application/json")
    assert made.status_code == 403
    assert not RetentionPolicy.objects.exists()


def test_a_huge_number_is_scheduled_shown_and_planned_again(
    editor: Caller, admin_client: Client, workspace: Workspace
) -> None:
    deployment = deployment_in(workspace, parameters={"x": HUGE}, parameter_openapi_schema={})
    Schedule.objects.create(deployment=deployment, interval=timedelta(hours=1))
    Materialiser().step(datetime.now(UTC))
    planned = FlowRun.objects.filter(deployment=deployment).first()
    wanted = {"deployment_id": str(deployment.id), "grid": {"y": [HUGE]}, "which": "failed"}

    assert planned is not None and planned.parameters == {"x": 10**300}
    assert editor.get(f"/api/flow_runs/{planned.id}").status_code == 200
    assert admin_client.get(f"/admin/runs/flowrun/{planned.id}/").status_code == 200
    assert editor.post("/api/backfills/", {**wanted, "which": "all"}).status_code == 201
    assert editor.post("/api/backfills/preview", wanted).json()["count"] == 0
    assert editor.post(f"/api/flow_runs/{planned.id}/run_again").status_code == 201
    assert (
        editor.post(f"/api/flow_runs/{planned.id}/input", {"key": "k", "value": "1e300"}).status_code == 201
    )
    assert editor.post(f"/api/flow_runs/{planned.id}/input/filter").status_code == 200


def test_a_calendar_that_is_closed_for_years_keeps_no_backfill_busy(
    editor: Caller, deployment: Deployment
) -> None:
    closed = [{"from": "1970-01-01T00:00", "to": "2026-01-01T00:00"}]
    calendar = Calendar.objects.create(workspace=deployment.workspace, name="closed", blackouts=closed)
    schedule = Schedule.objects.create(
        deployment=deployment, interval=timedelta(seconds=1), calendar=calendar, active=False
    )
    wanted = {"deployment_id": str(deployment.id), "schedule_id": str(schedule.id), "start": "2025-01-01"}

    refused = editor.post("/api/backfills/preview", {**wanted, "end": "2025-12-31"})

    assert refused.status_code == 422
    assert "more than 5,000,000 slots" in refused.json()["detail"]


@pytest.mark.parametrize("rrule", ["FREQ=YEARLY;BYDAY=99MO", "FREQ=MINUTELY;BYMINUTE=347;BYHOUR=315"])
def test_a_time_that_no_year_has_is_refused(editor: Caller, deployment: Deployment, rrule: str) -> None:
    body = {"schedule": {"rrule": rrule}}

    assert editor.post(f"/api/deployments/{deployment.id}/schedules/preview", body).status_code == 422


def test_content_that_is_not_ascii_is_refused(editor: Caller) -> None:
    task = {"id": str(uuid4()), "task_key": "k", "name": "n", "content": "\N{PILE OF POO}"}

    assert editor.post("/api/background_tasks/", task).status_code == 422


def test_who_comes_second_is_told_so() -> None:
    answer = handle(IntegrityError("duplicate key"), {})

    assert answer is not None
    assert answer.status_code == 409
    assert "duplicate key" not in answer.data["detail"]


BAD_RULES = [
    {"parameters": '{"a": ' + "[" * 50_000 + "]" * 50_000 + "}"},
    {"parameters": '{"a": 1e999}'},
    {"parameters": '{"a": "\\u0000"}'},
    {"cron": "", "interval": "999999999 00:00:00"},
]


@pytest.mark.parametrize("wrong", BAD_RULES, ids=["depth", "infinity", "nul", "ages"])
@pytest.mark.parametrize("page", ["add", "preview"])
def test_a_form_refuses_what_the_api_refuses(
    admin_client: Client, deployment: Deployment, wrong: dict[str, str], page: str
) -> None:
    form = {
        "deployment": str(deployment.id), "cron": "0 6 * * *", "timezone": "UTC", "parameters": "{}",
        "anchor_date_0": "2020-01-01", "anchor_date_1": "00:00:00", "calendar_policy": "skip",
        "missed_runs": "latest", "missed_at_most": "1",
    }  # fmt: skip

    assert admin_client.post(f"/admin/flows/schedule/{page}/", {**form, **wrong}).status_code == 200
    assert not Schedule.objects.exists()
