"""Backfills over HTTP, by command and from Python."""

from dataclasses import replace
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from pytest_django import DjangoAssertNumQueries

from flows.deployments import Backfill as MadeBackfill
from flows.deployments import backfill
from flows.models import Deployment
from flows.sdk.backend import backed_by
from flows.sdk.memory_backend import memory_backend
from portal.client import LocalPortal
from runs.models import Backfill, FlowRun
from tests.portal.fixtures import Caller
from tests.runs.backfills.builders import SCHEMA

pytestmark = pytest.mark.django_db


@pytest.fixture
def daily(deployment: Deployment) -> Deployment:
    deployment.schedules.create(cron="0 6 * * *")
    Deployment.objects.filter(id=deployment.id).update(parameter_openapi_schema=SCHEMA)
    return deployment


def body(deployment: Deployment, **changes: Any) -> dict[str, Any]:
    wanted = {"deployment_id": str(deployment.id), "start": "2026-03-01", "end": "2026-03-30"}
    return wanted | changes


def test_a_preview_shows_both_ends_and_makes_nothing(operator: Caller, daily: Deployment) -> None:
    answer = operator.post("/api/backfills/preview", body(daily))

    assert answer.status_code == 200
    shown = answer.json()
    assert (shown["count"], len(shown["first"]), len(shown["last"])) == (30, 20, 10)
    assert shown["first"][0] == {"slot": "2026-03-01T06:00:00Z", "parameters": {"day": "2026-03-01"}}
    assert shown["slot_parameter"] == "day"
    assert not Backfill.objects.exists()


def test_a_backfill_is_made_and_found(operator: Caller, viewer: Caller, daily: Deployment) -> None:
    made = operator.post("/api/backfills/", body(daily, concurrency=3, grid={"city": ["Bern", "Oslo"]}))

    assert made.status_code == 201
    shown = viewer.get(f"/api/backfills/{made.json()['id']}").json()
    assert (shown["total"], shown["released"]) == (60, 3)
    assert [reason["code"] for reason in shown["waiting_on"]] == ["backfill_limit"]
    assert shown["counts"] == {"SCHEDULED": 3}
    assert shown["created_by"]["display_value"] == "operator-default"
    [listed] = viewer.get("/api/backfills/", deployment=daily.id, state="ACTIVE").json()["results"]
    assert listed == shown


def patched(caller: Caller, path: str, changes: dict[str, Any]) -> Any:
    headers = {"authorization": f"Bearer {caller.token}"}
    return caller.client.patch(path, changes, content_type="application/json", headers=headers)


def test_its_concurrency_is_changed(operator: Caller, viewer: Caller, daily: Deployment) -> None:
    made = operator.post("/api/backfills/", body(daily, concurrency=1)).json()
    path = f"/api/backfills/{made['id']}"

    changed = patched(operator, path, {"concurrency": 4})

    assert changed.status_code == 200
    assert (changed.json()["concurrency"], changed.json()["released"]) == (4, 4)
    assert patched(operator, path, {"concurrency": 0}).status_code == 422
    assert patched(operator, path, {}).status_code == 422
    assert patched(viewer, path, {"concurrency": 2}).status_code == 403
    operator.post(f"{path}/cancel")
    assert patched(operator, path, {"concurrency": 2}).status_code == 409


def test_many_runs_are_planned_after_the_answer(operator: Caller, daily: Deployment) -> None:
    wanted = body(daily, start="2026-01-01", end="2026-01-31", cron="* * * * *")
    shown = operator.post("/api/backfills/preview", wanted).json()
    assert (shown["is_estimate"], len(shown["last"])) == (True, 20)
    assert abs(shown["count"] - 31 * 24 * 60) < 100
    assert shown["last"][-1]["slot"] == "2026-01-31T23:59:00Z"

    made = operator.post("/api/backfills/", wanted)

    assert made.status_code == 201
    assert (made.json()["state"], made.json()["planned_percent"]) == ("PLANNING", 0)
    assert [reason["code"] for reason in made.json()["waiting_on"]] == ["backfill_planning"]
    assert operator.post(f"/api/backfills/{made.json()['id']}/pause").status_code == 409


def test_its_runs_are_a_list(operator: Caller, daily: Deployment) -> None:
    made = operator.post("/api/backfills/", body(daily, concurrency=3)).json()

    page = operator.get(f"/api/backfills/{made['id']}/runs", limit=2).json()

    assert [run["backfill_id"] for run in page["results"]] == [made["id"]] * 2
    assert len(operator.get(page["next"]).json()["results"]) == 1
    assert len(operator.get("/api/flow_runs/", backfill=made["id"]).json()["results"]) == 3


def test_pause_resume_cancel(operator: Caller, daily: Deployment) -> None:
    path = f"/api/backfills/{operator.post('/api/backfills/', body(daily)).json()['id']}"

    paused = operator.post(f"{path}/pause").json()
    assert (paused["state"], paused["waiting_on"][0]["code"]) == ("PAUSED", "backfill_paused")
    assert operator.post(f"{path}/resume").json()["state"] == "ACTIVE"
    cancelled = operator.post(f"{path}/cancel").json()
    assert (cancelled["state"], cancelled["counts"]) == ("CANCELLED", {"CANCELLED": 5})
    refused = operator.post(f"{path}/pause")
    assert refused.status_code == 409
    assert refused.json()["detail"] == "The backfill has ended: it is cancelled."


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"start": "yesterday"}, "start"),
        ({"end": "2026-02-30"}, "end"),
        ({"cron": "61 * * * *"}, "schedule"),
        ({"cron": "@daily", "interval": 60}, "interval"),
        ({"schedule_id": "00000000-0000-0000-0000-000000000000"}, "schedule_id"),
        ({"interval": 1, "start": "2020-01-01"}, "end"),
        ({"grid": {"city": "Bern"}}, "grid"),
        ({"grid": {"city": ["Paris"]}}, "city"),
        ({"which": "some"}, "which"),
        ({"concurrency": 0}, "concurrency"),
        ({"parameters": [1]}, "parameters"),
        ({"deployment_id": "x"}, "deployment_id"),
        ({"start": None, "end": None}, "start"),
    ],
)
def test_bad_input_is_a_422_that_names_the_field(
    operator: Caller, daily: Deployment, changes: dict[str, Any], field: str
) -> None:
    for path in ("/api/backfills/", "/api/backfills/preview"):
        answer = operator.post(path, body(daily, **changes))
        assert answer.status_code == 422, answer.content
        assert answer.json()["errors"][0]["field"] == field
    assert not FlowRun.objects.exists()


def test_who_may_only_look_makes_none(viewer: Caller, foreigner: Caller, daily: Deployment) -> None:
    assert viewer.post("/api/backfills/", body(daily)).status_code == 403
    assert viewer.post("/api/backfills/preview", body(daily)).status_code == 403
    assert foreigner.post("/api/backfills/", body(daily)).status_code == 404


def test_a_list_costs_the_same_for_many(
    operator: Caller, daily: Deployment, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(3):
        operator.post("/api/backfills/", body(daily))

    with django_assert_max_num_queries(4):
        assert len(operator.get("/api/backfills/").json()["results"]) == 3


def manage(*arguments: str) -> str:
    out = StringIO()
    call_command("backfill", "weather-report/seattle", *arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


def test_the_command_shows_the_plan_first(daily: Deployment) -> None:
    said = manage("--from", "2026-03-01", "--to", "2026-03-30", "--param", "city=Bern,Oslo", "--dry-run")

    assert "60 runs:\n  2026-03-01 06:00:00 UTC  day=2026-03-01, city=Bern\n" in said
    assert "  ...\n" in said
    assert "dry run" in said
    assert not Backfill.objects.exists()


def test_the_command_makes_a_backfill(daily: Deployment) -> None:
    said = manage(
        "--from", "2026-03-01", "--to", "2026-03-02", "--param", "depth=[1,2]", "--concurrency", "2"
    )

    made = Backfill.objects.get()
    assert f"Backfill {made.id}: 4 runs, 2 at a time." in said
    assert made.grid == {"depth": [1, 2]}
    with pytest.raises(CommandError, match="4 of 4 are left out"):
        manage("--from", "2026-03-01", "--to", "2026-03-02", "--param", "depth=1,2", "--only", "failed")


def test_a_flow_makes_a_backfill(daily: Deployment) -> None:
    with backed_by(replace(memory_backend(), portal=LocalPortal(daily.workspace_id))):
        made = backfill("weather-report/seattle", grid={"city": ["Bern"], "day": ["2026-03-01"]})

    assert isinstance(made, MadeBackfill)
    assert (made.total, made.state, made.concurrency) == (1, "ACTIVE", 5)
    assert FlowRun.objects.get().parameters == {"day": "2026-03-01", "city": "Bern"}


def test_what_is_sent_again_is_made_once(operator: Caller, foreigner: Caller, daily: Deployment) -> None:
    id = str(uuid4())

    first, again = (operator.post("/api/backfills/", body(daily, id=id)) for _ in range(2))

    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"] == id
    assert Backfill.objects.count() == 1
