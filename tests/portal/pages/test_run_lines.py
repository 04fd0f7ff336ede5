"""Older log lines, and a search in the whole log of a run."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from flows.models import Workspace
from flows.sdk.ids import uuid7
from portal.pages import run_changes, run_lines
from runs.models import FlowRun, Log
from tests.portal.pages.test_flow_run import add_line, add_task, changes, client_as, messages, url

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(new_run: Callable[..., FlowRun], monkeypatch: pytest.MonkeyPatch) -> FlowRun:
    """With ten lines, of which two are read at once, and four are searched at once."""
    monkeypatch.setattr(run_changes, "LINES_AT_ONCE", 2)
    monkeypatch.setattr(run_lines, "LINES_AT_ONCE", 2)
    monkeypatch.setattr(run_lines, "WINDOW", 4)
    run = new_run(name="spry-anteater")
    for number in range(10):
        add_line(
            run, f"line {number}: 100% of Rain_{number}", seconds=number, level=40 if number == 3 else 20
        )
    return run


@pytest.fixture
def viewer_client(workspace: Workspace) -> Client:
    return client_as("viewer", workspace)


def older(client: Client, run: FlowRun, **query: Any) -> Any:
    return client.get(url(run, "lines"), query).json()


def all_older(client: Client, run: FlowRun, **query: Any) -> list[list[str]]:
    """Page after page, from the newest lines back."""
    before, pages = changes(client, run)["earlier"], []
    while before:
        answer = older(client, run, before=before, **query)
        pages.append([text.partition(":")[0].removeprefix("line ") for text in messages(answer)])
        before = answer["before"]
    return pages


def test_older_lines_come_page_by_page(viewer_client: Client, run: FlowRun) -> None:
    assert messages(changes(viewer_client, run)) == [
        "line 8: 100% of Rain_8", "line 9: 100% of Rain_9",
    ]  # fmt: skip
    assert all_older(viewer_client, run) == [["6", "7"], ["4", "5"], ["2", "3"], ["0", "1"]]


def test_lines_of_one_moment_are_neither_lost_nor_doubled(viewer_client: Client, run: FlowRun) -> None:
    Log.objects.filter(flow_run=run).update(timestamp=run.created)

    seen = messages(changes(viewer_client, run))
    before = changes(viewer_client, run)["earlier"]
    while before:
        answer = older(viewer_client, run, before=before)
        seen += messages(answer)
        before = answer["before"]

    assert sorted(seen) == [f"line {number}: 100% of Rain_{number}" for number in range(10)]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"text": "rain_3"}, ["3"]),  # in any case, and "_" is no joker
        ({"text": "100%"}, ["7", "6", "5", "4", "3", "2", "1", "0"]),
        ({"text": "1%0"}, []),
        ({"text": "\\"}, []),
        ({"text": "\0"}, []),
        ({"level": 30}, ["3"]),
        ({"level": 30, "text": "snow"}, []),
        ({"task": "extract"}, []),
    ],
)
def test_a_search_reaches_the_whole_log(
    viewer_client: Client, run: FlowRun, query: dict[str, Any], found: list[str]
) -> None:
    hits = [number for page in all_older(viewer_client, run, **query) for number in reversed(page)]

    assert hits == found


def test_a_search_by_the_name_of_a_task(viewer_client: Client, run: FlowRun) -> None:
    task = add_task(run, "extract-2013")
    Log.objects.filter(flow_run=run, message__startswith="line 1:").update(task_run_id=task.id)

    assert [page for page in all_older(viewer_client, run, task="2013") if page] == [["1"]]


def test_a_search_looks_at_a_window_of_the_run_alone(viewer_client: Client, run: FlowRun) -> None:
    before = changes(viewer_client, run)["earlier"]
    with CaptureQueriesContext(connection) as captured:
        answer = older(viewer_client, run, before=before, text="no such")

    assert (answer["logs"], bool(answer["before"])) == ([], True)
    of_log = [each["sql"] for each in captured.captured_queries if 'FROM "runs_log"' in each["sql"]]
    assert len(of_log) == 2
    assert all('"flow_run_id"' in sql and '"timestamp" <=' in sql for sql in of_log)
    assert any("statement_timeout" in each["sql"] for each in captured.captured_queries)


def test_a_search_that_takes_too_long_says_so(
    viewer_client: Client, run: FlowRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = changes(viewer_client, run)["earlier"]
    monkeypatch.setattr(run_lines, "LONGEST_STATEMENT", "1ms")
    monkeypatch.setattr(run_lines, "WINDOW", 100_000)
    Log.objects.bulk_create(
        Log(
            id=uuid7(), timestamp=run.created, flow_run=run, level=20, name="x", message=f"{n} " + "y" * 5000
        )
        for n in range(2000)
    )  # fmt: skip

    answer = viewer_client.get(url(run, "lines"), {"before": before, "text": "no such"})

    assert answer.status_code == 503
    assert "took too long" in answer.json()["error"]


@pytest.mark.parametrize("query", ["", "before=x", "before=2026-01-01~x", "before=9999-99-99~1"])
def test_a_made_up_place_is_refused(viewer_client: Client, run: FlowRun, query: str) -> None:
    answer = viewer_client.get(f"{url(run, 'lines')}?{query}")

    assert answer.status_code == 400
    assert "is not a cursor" in answer.json()["error"]


def test_a_level_that_is_none_is_refused(viewer_client: Client, run: FlowRun) -> None:
    before = changes(viewer_client, run)["earlier"]

    answer = viewer_client.get(f"{url(run, 'lines')}?before={quote(before)}&level=high")

    assert answer.status_code == 400
