"""Task runs, log lines and artifacts of a run."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from runs.models import Artifact, FlowRun, Log, TaskRun
from tests.portal.fixtures import Caller

pytestmark = pytest.mark.django_db
NewRun = Callable[..., FlowRun]


def task_run(run: FlowRun, name: str, state_type: str = "COMPLETED") -> TaskRun:
    now = datetime.now(UTC)
    return TaskRun.objects.create(
        flow_run=run, task_key="extract", dynamic_key=name, name=name, created=now,
        state_type=state_type, state_name=state_type.capitalize(), state_timestamp=now,
    )  # fmt: skip


def log_lines(run: FlowRun, *messages: str, level: int = 20) -> list[Log]:
    start = datetime.now(UTC)
    times = [start + timedelta(milliseconds=number) for number in range(len(messages))]
    return [
        Log.objects.create(flow_run=run, timestamp=time, level=level, name="flow", message=message)
        for time, message in zip(times, messages, strict=True)
    ]


def messages(answer: Any) -> list[str]:
    return [line["message"] for line in answer.json()["results"]]


def test_task_runs_come_in_the_order_in_which_they_were_made(viewer: Caller, new_run: NewRun) -> None:
    run = new_run()
    for name in ("extract-0", "extract-1", "load-0"):
        task_run(run, name)
    task_run(new_run(), "of another run")

    first = viewer.get("/api/task_runs/", flow_run=run.id, limit=2).json()
    second = viewer.get(first["next"]).json()

    names = [each["name"] for each in first["results"] + second["results"]]
    assert names == ["extract-0", "extract-1", "load-0"]
    assert first["results"][0]["state"]["type"] == "COMPLETED"


def test_task_runs_of_one_state(viewer: Caller, new_run: NewRun) -> None:
    run = new_run()
    task_run(run, "good")
    bad = task_run(run, "bad", "FAILED")

    found = viewer.get("/api/task_runs/", flow_run=run.id, state_type="FAILED").json()["results"]

    assert [each["id"] for each in found] == [str(bad.id)]
    assert viewer.get(f"/api/task_runs/{bad.id}").json()["name"] == "bad"


def test_log_lines_by_level(viewer: Caller, new_run: NewRun) -> None:
    run = new_run()
    log_lines(run, "hello")
    log_lines(run, "ouch", level=40)

    assert messages(viewer.get("/api/logs/", flow_run=run.id)) == ["hello", "ouch"]
    assert messages(viewer.get("/api/logs/", flow_run=run.id, level=30)) == ["ouch"]


def test_log_lines_can_be_followed(viewer: Caller, new_run: NewRun) -> None:
    run = new_run()
    first, second = log_lines(run, "one", "two")

    assert messages(viewer.get("/api/logs/", flow_run=run.id, after=first.id)) == ["two"]
    assert messages(viewer.get("/api/logs/", flow_run=run.id, after=second.id)) == []
    assert messages(viewer.get("/api/logs/", flow_run=run.id, after=first.timestamp.isoformat())) == ["two"]


def test_log_pages_hold_every_line_once(viewer: Caller, new_run: NewRun) -> None:
    run = new_run()
    log_lines(run, *(str(number) for number in range(5)))

    page = viewer.get("/api/logs/", flow_run=run.id, limit=2).json()
    seen = page["results"]
    while page["next"]:
        page = viewer.get(page["next"]).json()
        seen += page["results"]

    assert [line["message"] for line in seen] == ["0", "1", "2", "3", "4"]


def test_reading_logs_is_bounded_in_time(viewer: Caller, new_run: NewRun) -> None:
    run = new_run()
    with CaptureQueriesContext(connection) as queries:
        viewer.get("/api/logs/", flow_run=run.id)

    assert len(queries) == 3  # the token, the run, its lines
    assert '"runs_log"."timestamp" >=' in queries[-1]["sql"]


def test_artifacts(viewer: Caller, new_run: NewRun) -> None:
    run = new_run()
    Artifact.objects.create(
        workspace=run.workspace, flow_run=run, type="table", key="rain", data=[{"year": 1962, "mm": 2**70}]
    )

    found = viewer.get("/api/artifacts/", flow_run=run.id).json()["results"]

    assert found[0]["data"] == [{"year": 1962, "mm": 2**70}]


@pytest.mark.parametrize("resource", ["task_runs", "logs", "artifacts"])
def test_the_run_must_be_named_and_visible(viewer: Caller, resource: str) -> None:
    assert viewer.get(f"/api/{resource}/").status_code == 422
    assert viewer.get(f"/api/{resource}/", flow_run="7").status_code == 422
    assert viewer.get(f"/api/{resource}/", flow_run=uuid4()).status_code == 404


@pytest.mark.parametrize(
    "query",
    [{"level": "loud"}, {"level": "1e400"}, {"level": "99999999999"}, {"after": "soon"},
     {"after": "0001-01-01T00:00:00+23:59"}, {"task_run": "7"}],
)  # fmt: skip
def test_a_bad_log_query_is_a_422(viewer: Caller, new_run: NewRun, query: dict[str, str]) -> None:
    assert viewer.get("/api/logs/", flow_run=new_run().id, **query).status_code == 422
