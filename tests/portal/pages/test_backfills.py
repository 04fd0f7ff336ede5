"""Backfills in the browser's pages: the list, one of them, and the form that plans one."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from flows.models import Deployment
from flows.sdk.states import Completed, Failed
from runs.backfills.plan import plan
from runs.backfills.steer import create_backfill
from runs.backfills.wish import Wish
from runs.models import Backfill, BackfillCell, FlowRun
from tests.runs.backfills.builders import SCHEMA, end, runs_of

pytestmark = pytest.mark.django_db
Member = Callable[[str], Client]


@pytest.fixture
def daily(deployment: Deployment) -> Deployment:
    deployment.schedules.create(cron="0 6 * * *")
    Deployment.objects.filter(id=deployment.id).update(parameter_openapi_schema=SCHEMA)
    deployment.refresh_from_db()
    return deployment


def make(deployment: Deployment, days: int = 4, **wanted: Any) -> Backfill:
    first = datetime(2026, 3, 1, tzinfo=UTC)
    wish = Wish(deployment, start=first, end=first + timedelta(days=days), **wanted)
    return create_backfill(plan(wish, timezone.now()), {"display_value": "anna"})


def url(backfill: Backfill, tail: str = "") -> str:
    return f"/admin/runs/backfill/{backfill.id}/{tail}"


def page_of(client: Client, backfill: Backfill) -> str:
    return client.get(url(backfill)).content.decode()


def squares(page: str) -> list[str]:
    """The states in the picture of cells, row by row."""
    return re.findall(r'class="state-(\w+)" x="\d+" y="\d+"', page)


def form_of(deployment: Deployment) -> str:
    return f"/admin/flows/deployment/{deployment.id}/backfill/"


GOOD = {"start": "2026-03-01", "end": "2026-03-30", "which": "all", "concurrency": "3", "rule": ""}


def test_a_page_shows_each_cell_and_what_the_rest_waits_for(member: Member, daily: Deployment) -> None:
    backfill = make(daily, concurrency=2)
    first, _ = runs_of(backfill)
    end(first, Failed())

    page = page_of(member("viewer"), backfill)

    assert squares(page) == ["failed", "scheduled", "scheduled", "none"]
    assert "2026-03-01 06:00 day=2026-03-01: Failed" in page
    assert f'href="/admin/runs/flowrun/{first.id}/"' in page
    assert 'data-code="backfill_limit">2 of at most 2 runs are under way' in page
    assert "by anna" in page
    assert "Pause" not in page


def test_what_failed_is_planned_again_with_one_click(member: Member, daily: Deployment) -> None:
    wanted = {"grid": {"city": ["Bern", "Oslo"]}, "parameters": {"depth": 3}}
    backfill, operator = make(daily, concurrency=8, **wanted), member("operator")
    assert "Failed again" not in page_of(operator, backfill)
    for run in runs_of(backfill):
        end(run, Failed() if run.parameters["city"] == "Oslo" else Completed())

    [link] = re.findall(r'href="([^"]+)"[^>]*>Failed again', page_of(operator, backfill))
    form = operator.get(link.replace("&amp;", "&"))
    filled = {field.html_name: field.value() for field in form.context["form"]}
    made = {name: value for name, value in filled.items() if value not in (None, False)}
    operator.post(form_of(daily), {**made, "create": ""})

    again = Backfill.objects.exclude(id=backfill.id).get()
    assert (again.which, again.total) == ("failed", 4)
    assert {(run.parameters["city"], run.parameters["depth"]) for run in runs_of(again)} == {("Oslo", 3)}


def test_slots_with_a_grid_are_a_table(member: Member, daily: Deployment) -> None:
    page = page_of(member("viewer"), make(daily, grid={"city": ["Bern", "Oslo"]}))

    assert re.findall(r"<text[^>]*>([^<]+)</text>", page) == ["2026-03-01 06:00", "Bern", "Oslo"]


def test_thousands_of_cells_share_squares(member: Member, daily: Deployment) -> None:
    backfill = make(daily, grid={"depth": list(range(1, 1001))}, concurrency=3)

    page = page_of(member("viewer"), backfill)

    assert len(squares(page)) == 1000
    assert "1 to 4: 1 not begun, 3 scheduled" in page


def test_pause_resume_and_cancel(member: Member, daily: Deployment) -> None:
    backfill, operator = make(daily), member("operator")

    for action, state in (("pause", "PAUSED"), ("resume", "ACTIVE"), ("cancel", "CANCELLED")):
        operator.post(url(backfill, action))
        backfill.refresh_from_db()
        assert backfill.state == state
    refused = operator.post(url(backfill, "pause"), follow=True).content.decode()
    assert "The backfill has ended: it is cancelled." in refused
    assert {run.state_type for run in runs_of(backfill)} == {"CANCELLED"}


def test_who_may_do_what(member: Member, outsider: Client, daily: Deployment) -> None:
    backfill, viewer = make(daily), member("viewer")

    assert viewer.post(url(backfill, "cancel")).status_code == 403
    assert viewer.get(form_of(daily)).status_code == 403
    assert outsider.get(url(backfill)).status_code == 404
    assert outsider.post(url(backfill, "cancel")).status_code == 404
    assert outsider.get(form_of(daily)).status_code == 404
    assert "anna" not in outsider.get("/admin/runs/backfill/").content.decode()


def test_the_list_shows_how_far_each_has_come(
    member: Member, daily: Deployment, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(3):
        backfill = make(daily)
    for run in runs_of(backfill):
        end(run, Completed())
    viewer = member("viewer")

    with django_assert_max_num_queries(12):
        page = viewer.get("/admin/runs/backfill/").content.decode()

    assert "4 of 4" in page
    assert page.count("0 of 4") == 2
    assert 'aria-label="of 4: 4 completed"' in page


def test_the_form_shows_a_preview_and_makes_nothing(member: Member, daily: Deployment) -> None:
    page = member("operator").post(form_of(daily), {**GOOD, "preview": ""}).content.decode()

    assert "30 runs</h2>" in page
    assert page.count("<code>day=2026-03-") == 30
    assert "Make 30 runs" in page
    assert not Backfill.objects.exists()


def test_the_form_makes_a_backfill(member: Member, daily: Deployment) -> None:
    answer = member("operator").post(form_of(daily), {**GOOD, "values-city": "Bern, Oslo", "create": ""})

    made = Backfill.objects.get()
    assert answer["Location"] == url(made)
    assert (made.total, made.concurrency, made.grid) == (60, 3, {"city": ["Bern", "Oslo"]})
    assert made.created_by["display_value"] == "operator-default"


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"start": "soon"}, "Write it as 2026-03-01"),
        ({"end": ""}, "A range of slots has a start and an end."),
        ({"start": "2026-04-01"}, "Is before the start."),
        ({"cron": "61 * * * *"}, "cannot be read"),
        ({"values-city": "Bern,,Oslo"}, "empty value between its commas"),
        ({"values-city": "Paris"}, "&#x27;Paris&#x27; is not one of"),
        ({"concurrency": "0"}, "greater than or equal to 1"),
        ({"which": "failed", "create": ""}, "30 of 30 are left out"),
    ],
)
def test_what_is_wrong_is_said_beside_the_field(
    member: Member, daily: Deployment, given: dict[str, str], text: str
) -> None:
    page = member("operator").post(form_of(daily), {**GOOD, "preview": "", **given}).content.decode()

    assert text in page
    assert not FlowRun.objects.exists()


def test_many_runs_are_planned_behind_the_page(member: Member, daily: Deployment) -> None:
    client = member("operator")
    given = {
        "start": "2020-01-01",
        "end": "2026-03-01",
        "cron": "* * * * *",
        "concurrency": "2",
        "which": "all",
    }
    preview = client.post(form_of(daily), {**given, "preview": ""}).content.decode()
    assert re.search(r"Make about 324\d{4} runs", preview)
    assert "if it really has more, it is given up" in preview

    answer = client.post(form_of(daily), {**given, "start": "2026-02-01", "create": ""})

    page = client.get(answer.headers["Location"]).content.decode()
    assert "data-again" in page
    assert "It is being planned: 0 % looked at, 0 runs so far." in page
    assert ">Pause<" not in page
    assert BackfillCell.objects.count() == 0


def test_concurrency_is_changed_on_the_page(member: Member, daily: Deployment) -> None:
    backfill = make(daily, concurrency=1)
    client = member("operator")

    client.post(url(backfill, "concurrency"), {"concurrency": "3"})
    wrong = client.post(url(backfill, "concurrency"), {"concurrency": "0"}, follow=True)

    backfill.refresh_from_db()
    assert (backfill.concurrency, backfill.released) == (3, 3)
    assert "write a number from 1 to 10,000" in wrong.content.decode()
    assert member("viewer").post(url(backfill, "concurrency"), {"concurrency": "4"}).status_code == 403


def test_a_deployment_is_deleted_with_its_backfills(member: Member, daily: Deployment) -> None:
    make(daily, concurrency=2)
    editor, delete = member("editor"), f"/admin/flows/deployment/{daily.id}/delete/"

    assert "Backfills, with their cells" in editor.get(delete).content.decode()
    editor.post(delete, {"post": "yes"})

    assert not Backfill.objects.exists()
    assert list(FlowRun.objects.values_list("state_type", "backfill")) == [("CANCELLED", None)] * 2
