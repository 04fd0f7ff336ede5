"""The run page and what it reads: parts, changes behind cursors, actions, and who may see it."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from agents.models import WorkQueue
from flows.models import Membership, Workspace
from flows.sdk.ids import uuid7
from flows.sdk.states import Failed, Pending, Running
from portal.pages import run_changes
from portal.pages.run_view import tail_of
from runs.models import Artifact, FlowRun, Log, TaskRun
from runs.session import DjangoSession
from runs.transition import transition
from tests.factories import lease

pytestmark = pytest.mark.django_db
NewRun = Callable[..., FlowRun]


def client_as(role: str, workspace: Workspace) -> Client:
    user = get_user_model().objects.create_user(f"{role}-of-{workspace.name}", is_staff=True)
    Membership.objects.create(user=user, workspace=workspace, role=role)
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def run(new_run: NewRun) -> FlowRun:
    return new_run(name="spry-anteater")


@pytest.fixture
def viewer_client(workspace: Workspace) -> Client:
    return client_as("viewer", workspace)


@pytest.fixture
def operator_client(workspace: Workspace) -> Client:
    return client_as("operator", workspace)


def url(run: FlowRun, tail: str = "") -> str:
    return f"/admin/runs/flowrun/{run.id}/{tail}"


def changes(client: Client, run: FlowRun, last: dict[str, Any] | None = None) -> dict[str, Any]:
    """What the page reads next after `last`."""
    cursors = {name: last[name] for name in ("since_version", "after_log")} if last else {}
    answer: dict[str, Any] = client.get(url(run, "changes"), cursors).json()
    return answer


async def body_of(answer: Any) -> str:
    return b"".join([part async for part in answer]).decode()


def add_task(run: FlowRun, name: str, version: int = 1, state: str = "COMPLETED") -> TaskRun:
    return TaskRun.objects.create(
        flow_run=run, task_key="extract", dynamic_key="0", name=name, version=version,
        state_type=state, state_name=state.capitalize(), state_timestamp=run.created, created=run.created,
    )  # fmt: skip


def add_line(run: FlowRun, message: str, seconds: float = 0, level: int = 20) -> None:
    moment = run.created + timedelta(seconds=seconds)
    Log.objects.create(
        id=uuid7(), timestamp=moment, flow_run=run, level=level, name="flows.flow_runs", message=message
    )


def messages(answer: dict[str, Any]) -> list[str]:
    return [line[-1] for line in answer["logs"]]


def fail(run: FlowRun, message: str) -> None:
    for state in (Pending(), Running(), Failed(message=message)):
        transition(DjangoSession(), run.id, state)


def test_a_waiting_run_says_why(viewer_client: Client, run: FlowRun) -> None:
    page = viewer_client.get(url(run)).content.decode()

    assert "spry-anteater" in page
    assert 'class="badge state-scheduled"' in page
    assert "No agent serves queue &#x27;default&#x27;, and none ever did." in page
    assert "python manage.py rqworker default" in page
    assert "year=1962" in page


def test_a_failed_run_shows_the_end_of_its_traceback(viewer_client: Client, run: FlowRun) -> None:
    add_line(run, "Flow run failed\nTraceback:\n  raise ValueError('no rain')\nValueError: no rain", level=40)
    fail(run, "Flow run encountered an exception: ValueError: no rain")

    page = viewer_client.get(url(run)).content.decode()

    assert "Flow run encountered an exception: ValueError: no rain" in page
    assert "raise ValueError(&#x27;no rain&#x27;)" in page


def test_frames_of_the_engine_are_left_out_of_the_notice() -> None:
    trace = """Traceback (most recent call last):
  File "/srv/etl.py", line 9, in etl
    return load(rows)
           ^^^^^^^^^^
  File "/app/flows/sdk/steps.py", line 44, in run
    return self.fn(*self.args)
  File "/srv/etl.py", line 3, in load
    raise ValueError("no rain")
ValueError: no rain"""

    assert tail_of(trace).splitlines()[1:] == [
        '  File "/srv/etl.py", line 9, in etl',
        "    return load(rows)",
        '  File "/srv/etl.py", line 3, in load',
        '    raise ValueError("no rain")',
        "ValueError: no rain",
    ]


def test_a_run_in_a_paused_queue_leads_to_the_pool_where_it_is_resumed(
    viewer_client: Client, run: FlowRun
) -> None:
    queue = run.work_queue
    assert queue is not None
    WorkQueue.objects.filter(id=queue.id).update(paused=True)

    page = viewer_client.get(url(run)).content.decode()

    assert f'<a href="/admin/agents/workpool/{queue.work_pool_id}/change/">Show it</a>' in page


def test_the_start_is_taken_apart(viewer_client: Client, run: FlowRun) -> None:
    for number, name in enumerate(("claimed_time", "forked_time", "loaded_time"), start=1):
        setattr(run, name, run.created + timedelta(milliseconds=10 * number))
    run.save()

    page = viewer_client.get(url(run)).content.decode()

    assert re.findall(r"(claimed|forked|loaded) <b>\+(\d+)", page) == [
        ("claimed", "10"), ("forked", "10"), ("loaded", "10"),
    ]  # fmt: skip


def test_a_table_artifact_is_a_table(viewer_client: Client, run: FlowRun) -> None:
    rows = [{"year": 2012, "weather": "<b>rain</b>"}, {"year": 2013, "days": 365}]
    Artifact.objects.create(
        workspace=run.workspace, flow_run=run, type="table", key="weather-by-year", data=rows
    )

    page = viewer_client.get(url(run)).content.decode()

    assert "weather-by-year" in page
    assert "<td>2012</td>" in page
    assert "<td>&lt;b&gt;rain&lt;/b&gt;</td>" in page


def test_nothing_on_the_page_breaks_its_policy(viewer_client: Client, run: FlowRun) -> None:
    page = viewer_client.get(url(run)).content.decode()

    assert not re.findall(r"<script(?![^>]*\bsrc=)", page)
    assert not re.findall(r"<style|\sstyle=|\son\w+=", page)


def test_changes_come_once(viewer_client: Client, run: FlowRun) -> None:
    add_task(run, "extract-1", version=1)
    first = changes(viewer_client, run)
    add_task(run, "extract-2", version=2)
    second = changes(viewer_client, run, first)
    third = changes(viewer_client, run, second)

    names = [[task[1] for task in answer["tasks"]] for answer in (first, second, third)]
    assert names == [["extract-1"], ["extract-2"], []]


def test_tasks_of_one_version_are_split_over_reads(
    viewer_client: Client, run: FlowRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_changes, "TASKS_AT_ONCE", 2)
    for number in range(3):
        add_task(run, f"extract-{number}", version=7)

    first = changes(viewer_client, run)
    second = changes(viewer_client, run, first)

    assert [first["more"], second["more"]] == [True, False]
    assert [task[1] for task in first["tasks"] + second["tasks"]] == ["extract-0", "extract-1", "extract-2"]


def test_a_line_that_was_written_late_is_not_missed(viewer_client: Client, run: FlowRun) -> None:
    add_line(run, "second", seconds=2)
    first = changes(viewer_client, run)
    add_line(run, "first", seconds=1.8)

    assert messages(changes(viewer_client, run, first)) == ["first", "second"]


def test_a_flood_of_lines_is_read_to_its_end(
    viewer_client: Client, run: FlowRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_changes, "LINES_AT_ONCE", 2)
    add_line(run, "before")
    answer = changes(viewer_client, run)
    for number in range(5):
        add_line(run, str(number), seconds=0.1)

    seen = []
    while not seen or answer["more"]:
        answer = changes(viewer_client, run, answer)
        seen += messages(answer)

    assert seen == ["before", "0", "1", "2", "3", "4"]


def test_a_long_log_begins_at_its_end(
    viewer_client: Client, run: FlowRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_changes, "LINES_AT_ONCE", 2)
    for number in range(5):
        add_line(run, str(number), seconds=number)

    first = changes(viewer_client, run)

    assert messages(first) == ["3", "4"]
    assert first["earlier"]


def test_the_whole_log_can_be_downloaded(
    viewer_client: Client, run: FlowRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_changes, "LINES_AT_ONCE", 2)
    for number in range(5):
        add_line(run, f"line {number}", seconds=number)

    answer = viewer_client.get(url(run, "logs.txt"))
    text = async_to_sync(body_of)(answer)

    assert answer["Content-Disposition"] == f'attachment; filename="{run.id}.log"'
    assert [line.partition("INFO")[2].strip() for line in text.splitlines()] == [
        f"line {number}" for number in range(5)
    ]


@pytest.mark.parametrize(
    "cursors",
    [
        {"since_version": "x"}, {"since_version": "1~x"}, {"since_version": "9" * 5000},
        {"after_log": "yesterday~1"}, {"after_log": "2026-01-01T00:00:00+00:00"},
        {"after_log": "2026-01-01~"},
    ],
)  # fmt: skip
def test_a_made_up_cursor_is_refused(viewer_client: Client, run: FlowRun, cursors: dict[str, str]) -> None:
    answer = viewer_client.get(url(run, "changes"), cursors)

    assert answer.status_code == 400
    assert "is not a cursor" in answer.json()["error"]


def test_cancel_stops_what_has_not_started(operator_client: Client, run: FlowRun) -> None:
    answer = operator_client.post(url(run, "cancel"))

    run.refresh_from_db()
    assert answer["Location"] == url(run)
    assert (run.state_type, run.state_message) == ("CANCELLED", "Cancelled by operator-of-default.")


def test_what_is_being_cancelled_can_be_killed(operator_client: Client, run: FlowRun) -> None:
    lease(run)
    assert "Kill</button>" not in operator_client.get(url(run)).content.decode()
    operator_client.post(url(run, "cancel"))
    assert "Kill</button>" in operator_client.get(url(run)).content.decode()

    operator_client.post(url(run, "cancel"), {"force": "1"})

    run.refresh_from_db()
    assert (run.state_type, run.state_message) == ("CANCELLED", "Killed by operator-of-default.")


def test_cancelling_what_is_over_says_so(operator_client: Client, run: FlowRun) -> None:
    fail(run, "boom")

    page = operator_client.post(url(run, "cancel"), follow=True).content.decode()

    run.refresh_from_db()
    assert run.state_type == "FAILED"
    assert "there was nothing to cancel" in page


def test_run_again_makes_a_run_with_the_same_parameters(operator_client: Client, run: FlowRun) -> None:
    answer = operator_client.post(url(run, "again"))

    new = FlowRun.objects.exclude(id=run.id).get()
    assert answer["Location"] == url(new)
    assert (new.parameters, new.deployment, new.state_type) == (run.parameters, run.deployment, "SCHEDULED")
    assert new.created_by is not None
    assert new.created_by["display_value"] == "operator-of-default"


@pytest.mark.parametrize("action", ["cancel", "again", "retry"])
def test_a_viewer_may_not_act(viewer_client: Client, run: FlowRun, action: str) -> None:
    assert viewer_client.post(url(run, action)).status_code == 403
    assert "<button" not in changes(viewer_client, run)["html"]["actions"]
    assert FlowRun.objects.get().state_type == "SCHEDULED"


@pytest.mark.parametrize("tail", ["", "changes", "lines", "logs.txt", "cancel", "again", "retry"])
def test_a_foreign_run_is_not_there(elsewhere: Workspace, run: FlowRun, tail: str) -> None:
    client = client_as("admin", elsewhere)
    call = client.post if tail in {"cancel", "again", "retry"} else client.get

    assert call(url(run, tail)).status_code == 404
    assert FlowRun.objects.get().state_type == "SCHEDULED"


@pytest.mark.parametrize("tail", ["", "changes", "lines", "logs.txt", "cancel", "again", "retry"])
def test_a_stranger_is_sent_to_the_login(run: FlowRun, tail: str) -> None:
    call = Client().post if tail in {"cancel", "again", "retry"} else Client().get

    assert call(url(run, tail))["Location"].startswith("/admin/login/")


@pytest.mark.parametrize("action", ["cancel", "again", "retry"])
def test_actions_need_the_forms_token(workspace: Workspace, run: FlowRun, action: str) -> None:
    client = client_as("operator", workspace)
    client.handler.enforce_csrf_checks = True

    assert client.post(url(run, action)).status_code == 403


def test_the_buttons_stay_while_nothing_changes(operator_client: Client, run: FlowRun) -> None:
    for state in (Pending(), Running()):
        transition(DjangoSession(), run.id, state)
    first, second = (changes(operator_client, run)["html"] for _ in range(2))

    assert 'form="run-cancel"' in first["actions"]
    assert first == second


def test_reading_costs_the_same_however_much_there_is(viewer_client: Client, run: FlowRun) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            changes(viewer_client, run)
        return len(captured)

    few = queries()
    for number in range(30):
        add_task(run, f"extract-{number}")
        add_line(run, f"line {number}")

    assert queries() == few
    assert few <= 16


def test_a_run_whose_log_lines_were_removed_says_so(viewer_client: Client, run: FlowRun) -> None:
    assert "log lines were removed" not in viewer_client.get(url(run)).content.decode()
    FlowRun.objects.filter(id=run.id).update(created=run.created - timedelta(days=91))

    assert "kept for 90 days" in viewer_client.get(url(run)).content.decode()
