"""Retention policies and run statistics: over HTTP, on the command line, on the dashboard."""

from io import StringIO

import pytest
from django.core.management import call_command

from agents.services.database import database_time
from runs.models import FlowRun, RetentionPolicy
from runs.rollup import roll_up
from runs.session import DjangoSession
from tests.factories import make_deployment
from tests.portal.fixtures import Caller
from tests.runs.ended import ended_run

pytestmark = pytest.mark.django_db

POLICIES = "/api/retention_policies/"


def test_a_policy_is_made_changed_and_removed(admin: Caller, viewer: Caller) -> None:
    made = admin.post(POLICIES, {"keep_days": 30, "state_type": "COMPLETED"})
    again = admin.post(POLICIES, {"keep_days": 60, "state_type": "COMPLETED"})

    assert (made.status_code, again.status_code) == (201, 200)
    assert [each["keep_days"] for each in viewer.get(POLICIES).json()["results"]] == [60]
    headers = {"authorization": f"Bearer {admin.token}"}
    assert admin.client.delete(f"{POLICIES}{made.json()['id']}", headers=headers).status_code == 204
    assert not RetentionPolicy.objects.exists()


BAD_POLICIES: list[dict[str, object]] = [
    {},
    {"keep_days": 0},
    {"keep_days": "x"},
    {"keep_days": 10**9},
    {"keep_days": 1, "state_type": "RUNNING"},
]


@pytest.mark.parametrize("wrong", BAD_POLICIES)
def test_a_bad_policy_is_refused(admin: Caller, wrong: dict[str, object]) -> None:
    assert admin.post(POLICIES, wrong).status_code == 422


def test_only_admins_make_policies(editor: Caller) -> None:
    assert editor.post(POLICIES, {"keep_days": 1}).status_code == 403


def test_a_policy_for_a_deployment_that_is_not_ours_is_refused(admin: Caller, foreigner: Caller) -> None:
    deployment = make_deployment()
    body = {"keep_days": 1, "deployment_id": str(deployment.id)}

    assert admin.post(POLICIES, body).status_code == 201
    assert foreigner.post(POLICIES, body).status_code in {403, 422}


def test_the_preview_says_what_would_go(admin: Caller) -> None:
    admin.post(POLICIES, {"keep_days": 30, "state_type": "FAILED"})
    ended_run(state="FAILED", days_ago=31)

    [row] = admin.get(f"{POLICIES}preview").json()
    assert (row["state_type"], row["runs"]) == ("FAILED", 1)
    assert FlowRun.objects.count() == 1


def test_statistics_are_listed_by_hour(viewer: Caller, foreigner: Caller) -> None:
    ended_run()
    roll_up(DjangoSession(), database_time())

    [row] = viewer.get("/api/run_stats/").json()["results"]
    assert (row["runs"], row["state_type"]) == (1, "COMPLETED")
    assert viewer.get("/api/run_stats/", state_type="FAILED").json()["results"] == []
    assert foreigner.get("/api/run_stats/").json()["results"] == []


def said(*arguments: str) -> str:
    out = StringIO()
    call_command("retention", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_says_what_would_go_and_then_removes_it(workspace: object) -> None:
    assert "kept for ever" in said("--dry-run")
    RetentionPolicy.objects.create(workspace=workspace, keep_days=30, state_type="COMPLETED")
    ended_run(days_ago=31)

    assert "default: 1 COMPLETED runs older than 30 days" in said("--dry-run")
    assert FlowRun.objects.count() == 1
    assert "Removed 1 runs." in said()
    assert not FlowRun.objects.exists()
