"""Lists, details, history, cancel and set_state of flow runs."""

import re
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from flows.sdk.states import Completed, Failed, Pending, Running
from runs.models import FlowRun
from runs.session import DjangoSession
from runs.transition import transition
from tests.factories import lease
from tests.plans import plan_without_sorting
from tests.portal.fixtures import Caller

pytestmark = pytest.mark.django_db
NewRun = Callable[..., FlowRun]


def finish(run: FlowRun, *, failed: bool = False) -> None:
    for state in (Pending(), Running(), Failed(message="boom") if failed else Completed()):
        transition(DjangoSession(), run.id, state)


def walk(caller: Caller, path: str, **query: Any) -> list[list[Any]]:
    """The names on each page, following `next`."""
    page = caller.get(path, **query).json()
    pages = [[each["name"] for each in page["results"]]]
    while page["next"]:
        page = caller.get(page["next"]).json()
        pages.append([each["name"] for each in page["results"]])
    return pages


def test_pages_hold_every_run_once(viewer: Caller, new_run: NewRun) -> None:
    for number in range(5):
        new_run(name=f"run-{number}")

    assert walk(viewer, "/api/flow_runs/", limit=2) == [["run-4", "run-3"], ["run-2", "run-1"], ["run-0"]]


def test_a_page_leads_back(viewer: Caller, new_run: NewRun) -> None:
    for number in range(5):
        new_run(name=f"run-{number}")
    first = viewer.get("/api/flow_runs/", limit=2).json()
    second = viewer.get(first["next"]).json()

    back = viewer.get(second["previous"]).json()

    assert back["results"] == first["results"]
    assert back["previous"] is None
    assert viewer.get(back["next"]).json()["results"] == second["results"]


@pytest.mark.parametrize("ordering", ["start_time", "-start_time"])
def test_runs_that_never_started_come_last_in_both_orders(
    viewer: Caller, new_run: NewRun, ordering: str
) -> None:
    waiting = {new_run(name=f"waiting-{number}").name for number in range(3)}
    for number in range(2):
        finish(new_run(name=f"done-{number}"))

    pages = walk(viewer, "/api/flow_runs/", limit=1, ordering=ordering)

    names = [name for page in pages for name in page]
    assert names[:2] == (["done-0", "done-1"] if ordering == "start_time" else ["done-1", "done-0"])
    assert set(names[2:]) == waiting and len(names) == 5


def test_walking_back_over_missing_values(viewer: Caller, new_run: NewRun) -> None:
    for number in range(3):
        new_run(name=f"waiting-{number}")
    finish(new_run(name="done"))
    page = viewer.get("/api/flow_runs/", limit=1, ordering="start_time").json()
    forward = [page["results"][0]["name"]]
    while page["next"]:
        page = viewer.get(page["next"]).json()
        forward.append(page["results"][0]["name"])

    backward = [page["results"][0]["name"]]
    while page["previous"]:
        page = viewer.get(page["previous"]).json()
        backward.append(page["results"][0]["name"])

    assert backward == forward[::-1]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"state_type": "FAILED"}, ["failed"]),
        ({"state_type": "FAILED,COMPLETED"}, ["completed", "failed"]),
        ({"state_name": "Scheduled"}, ["waiting"]),
        ({"tags": "etl"}, ["waiting"]),
        ({"tags": "etl,nightly"}, []),
    ],
)
def test_filters(viewer: Caller, new_run: NewRun, query: dict[str, str], expected: list[str]) -> None:
    finish(new_run(name="completed"))
    finish(new_run(name="failed"), failed=True)
    new_run(name="waiting", tags=["etl"])

    found = viewer.get("/api/flow_runs/", ordering="name", **query).json()["results"]

    assert [each["name"] for each in found] == expected


def test_filter_by_deployment_and_flow(viewer: Caller, new_run: NewRun) -> None:
    run = new_run()

    for query in ({"deployment": run.deployment_id}, {"flow": run.flow_id}):
        assert len(viewer.get("/api/flow_runs/", **query).json()["results"]) == 1
    for query in ({"deployment": uuid4()}, {"flow": uuid4()}):
        assert viewer.get("/api/flow_runs/", **query).json()["results"] == []


@pytest.mark.parametrize(
    "query",
    [
        {"state_type": "NONSENSE"},
        {"deployment": "7"},
        {"ordering": "password"},
        {"limit": "0"},
        {"limit": "201"},
        {"limit": "٣"},
        {"limit": "9" * 5000},
        {"cursor": "nonsense"},
        {"cursor": "W251bGwsIG51bGwsIG51bGxd"},
        {"tags": "a\0b"},
    ],
)
def test_a_bad_query_is_a_422_that_names_the_field(viewer: Caller, query: dict[str, str]) -> None:
    refused = viewer.get("/api/flow_runs/", **query)

    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"] == next(iter(query))


def test_a_page_of_fifty_costs_two_queries(viewer: Caller, new_run: NewRun) -> None:
    for _ in range(51):
        new_run()

    with CaptureQueriesContext(connection) as queries:
        page = viewer.get("/api/flow_runs/").json()

    assert len(page["results"]) == 50
    assert len(queries) == 2  # the token, the page
    assert not any("COUNT(" in query["sql"] for query in queries)


def test_a_run_has_prefects_names(viewer: Caller, new_run: NewRun) -> None:
    run = new_run(name="first")

    shown = viewer.get(f"/api/flow_runs/{run.id}").json()

    assert shown["flow_id"] == str(run.flow_id)
    assert shown["deployment_name"] == "seattle"
    assert (shown["work_pool_name"], shown["work_queue_name"]) == ("default", "default")
    assert shown["state"]["type"] == shown["state_type"] == "SCHEDULED"
    assert shown["parameters"] == {"year": 1962}
    assert shown["expected_start_time"].endswith("Z")


def test_a_waiting_run_says_what_it_waits_for(viewer: Caller, new_run: NewRun) -> None:
    run = new_run()

    reasons = viewer.get(f"/api/flow_runs/{run.id}").json()["waiting_on"]
    finish(run)

    assert "no_agent_online" in [reason["code"] for reason in reasons]
    assert viewer.get(f"/api/flow_runs/{run.id}").json()["waiting_on"] == []


def test_the_history_is_shown_oldest_first(viewer: Caller, new_run: NewRun) -> None:
    run = new_run()
    finish(run)

    states = viewer.get(f"/api/flow_runs/{run.id}/states").json()

    assert [state["type"] for state in states] == ["SCHEDULED", "PENDING", "RUNNING", "COMPLETED"]


def test_cancel_before_the_start(operator: Caller, new_run: NewRun) -> None:
    run = new_run()

    answer = operator.post(f"/api/flow_runs/{run.id}/cancel")

    assert answer.status_code == 200
    assert answer.json()["state"]["type"] == "CANCELLED"
    run.refresh_from_db()
    assert run.state_type == "CANCELLED"


def test_cancel_with_force_asks_nobody(operator: Caller, new_run: NewRun) -> None:
    run = lease(new_run())
    answer = operator.post(f"/api/flow_runs/{run.id}/cancel", {"force": True})
    assert answer.status_code == 200
    assert answer.json()["state"]["type"] == "CANCELLED"
    assert operator.post(f"/api/flow_runs/{run.id}/cancel", {"force": True}).status_code == 409


def test_cancelling_a_finished_run_is_a_conflict(operator: Caller, new_run: NewRun) -> None:
    run = new_run()
    finish(run)

    answer = operator.post(f"/api/flow_runs/{run.id}/cancel")

    assert answer.status_code == 409
    assert "Completed" in answer.json()["detail"]


def test_set_state_answers_as_prefect_does(operator: Caller, new_run: NewRun) -> None:
    run = new_run()
    path = f"/api/flow_runs/{run.id}/set_state"

    taken = operator.post(path, {"state": {"type": "PENDING", "name": None, "data": None}, "force": False})
    again = operator.post(path, {"state": {"type": "PENDING"}})

    assert taken.status_code == 201
    assert taken.json()["status"] == "ACCEPT"
    assert taken.json()["details"] == {"type": "accept_details"}
    assert again.status_code == 200
    assert again.json()["status"] == "ABORT"
    assert again.json()["details"]["type"] == "abort_details"


@pytest.mark.parametrize(
    "body",
    [{}, [], {"state": None}, {"state": {}}, {"state": {"type": "NONSENSE"}}, {"state": {"type": 7}},
     {"state": {"type": "SCHEDULED", "state_details": {"scheduled_time": "soon"}}},
     {"state": {"type": "SCHEDULED", "state_details": []}},
     {"state": {"type": "PENDING", "name": "x" * 101}}, {"state": {"type": "PENDING"}, "force": "maybe"}],
)  # fmt: skip
def test_a_bad_state_is_a_422(operator: Caller, new_run: NewRun, body: Any) -> None:
    assert operator.post(f"/api/flow_runs/{new_run().id}/set_state", body).status_code == 422


def test_an_unknown_run_is_a_404(operator: Caller) -> None:
    for path in (f"flow_runs/{uuid4()}", f"flow_runs/{uuid4()}/states", "flow_runs/7"):
        assert operator.get(f"/api/{path}").status_code == 404
    assert operator.post(f"/api/flow_runs/{uuid4()}/cancel").status_code == 404


@pytest.mark.parametrize("query", [{}, {"state_type": "FAILED"}])
def test_a_page_reads_a_range_of_an_index(viewer: Caller, new_run: NewRun, query: dict[str, str]) -> None:
    new_run()

    with CaptureQueriesContext(connection) as captured:
        viewer.get("/api/flow_runs/", **query)

    reads = [each["sql"] for each in captured.captured_queries if 'FROM "runs_flowrun"' in each["sql"]]
    assert len(reads) == 1
    plan = plan_without_sorting(reads[0])
    assert "using flowrun_" in plan  # which one, a nearly empty table cannot tell
    assert not re.search(r"(?<!Incremental )Sort  ", plan), plan
