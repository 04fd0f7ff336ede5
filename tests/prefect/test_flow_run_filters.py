"""Prefect's filter language, on flow runs."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from flows.sdk.states import Completed, Failed, Pending, Running
from runs.models import FlowRun
from runs.session import DjangoSession
from runs.transition import transition
from tests.factories import make_deployment, make_queue, make_run
from tests.plans import plan_without_sorting
from tests.portal.fixtures import Caller

pytestmark = pytest.mark.django_db
NewRun = Callable[..., FlowRun]


def names(caller: Caller, **body: Any) -> list[str]:
    response = caller.post("/api/flow_runs/filter", body)
    assert response.status_code == 200, response.content
    return [run["name"] for run in response.json()]


def runs(caller: Caller, **flow_runs: Any) -> set[str]:
    return set(names(caller, flow_runs=flow_runs))


def end(run: FlowRun, *, failed: bool = False) -> None:
    for state in (Pending(), Running(), Failed() if failed else Completed()):
        transition(DjangoSession(), run.id, state)


def test_null_means_absent(viewer: Caller, new_run: NewRun) -> None:
    new_run(name="one")

    nothing = {"operator": "and_", "id": {"any_": None}, "name": None, "tags": None}
    body = {"flow_runs": nothing, "flows": None, "sort": None, "limit": None, "offset": 0, "newer": 1}

    assert names(viewer, **body) == ["one"]


def test_values_of_one_field(viewer: Caller, new_run: NewRun) -> None:
    first, second = new_run(name="load_1"), new_run(name="Load_2", tags=["t1", "t2"])

    assert runs(viewer, id={"any_": [str(first.id)]}) == {"load_1"}
    assert runs(viewer, id={"not_any_": [str(first.id)]}) == {"Load_2"}
    assert runs(viewer, id={"any_": []}) == set()
    assert runs(viewer, name={"like_": "D_2"}) == {"Load_2"}
    assert runs(viewer, tags={"all_": ["t1", "t2"]}) == {"Load_2"}
    assert runs(viewer, tags={"any_": ["t1", "other"]}) == {"Load_2"}
    assert runs(viewer, tags={"is_null_": True}) == {"load_1"}
    assert runs(viewer, start_time={"is_null_": False}) == set()
    assert runs(viewer, deployment_id={"is_null_": False}) == {"load_1", "Load_2"}
    transition(DjangoSession(), second.id, Failed())
    assert runs(viewer, state={"type": {"any_": ["FAILED"]}}) == {"Load_2"}


def test_or_joins_fields(viewer: Caller, new_run: NewRun) -> None:
    new_run(name="a"), new_run(name="b", tags=["t"]), new_run(name="c")

    assert runs(viewer, operator="or_", name={"any_": ["a"]}, tags={"all_": ["t"]}) == {"a", "b"}


def test_times_may_be_written_with_a_space(viewer: Caller, new_run: NewRun) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    new_run(name="now"), new_run(name="later", scheduled_time=soon + timedelta(hours=1))

    assert runs(viewer, expected_start_time={"before_": str(soon)}) == {"now"}
    assert runs(viewer, expected_start_time={"after_": soon.isoformat()}) == {"later"}


def test_what_belongs_to_the_run(viewer: Caller, new_run: NewRun) -> None:
    mine = make_deployment("mine", "other-flow", make_queue("q", "px"))
    new_run(name="elsewhere"), make_run(mine, name="here")

    assert names(viewer, flows={"name": {"like_": "other"}}) == ["here"]
    assert names(viewer, deployments={"name": {"any_": ["mine"]}}) == ["here"]
    assert names(viewer, work_pools={"name": {"any_": ["px"]}}) == ["here"]
    assert names(viewer, work_pool_queues={"name": {"any_": ["q"]}}) == ["here"]
    assert names(viewer, task_runs={"name": {"like_": "x"}}) == []


def test_order_and_page(viewer: Caller, new_run: NewRun) -> None:
    for name in "cab":
        new_run(name=name)

    assert names(viewer, sort="NAME_ASC") == ["a", "b", "c"]
    assert names(viewer, sort="NAME_DESC", limit=1, offset=1) == ["b"]
    assert names(viewer) == ["b", "a", "c"]
    assert names(viewer, limit=0) == []


@pytest.mark.parametrize(
    "body",
    [
        {"limit": 201},
        {"offset": -1},
        {"sort": "NOPE"},
        {"flow_runs": {"id": {"any_": ["no id"]}}},
        {"flow_runs": {"id": {"any_": str(uuid4())}}},
        {"flow_runs": {"state": {"type": {"any_": ["HAPPY"]}}}},
        {"flow_runs": {"operator": "xor_"}},
        {"flow_runs": {"start_time": {"before_": "yesterday"}}},
        {"flow_runs": []},
        [],
    ],
)
def test_what_cannot_be_understood(viewer: Caller, body: Any) -> None:
    response = viewer.post("/api/flow_runs/filter", body)

    assert response.status_code == 422
    assert response.json()["errors"][0]["field"]


def test_counts(viewer: Caller, new_run: NewRun) -> None:
    for number in range(3):
        new_run(name=f"run-{number}")

    assert viewer.post("/api/flow_runs/count", {}).json() == 3
    assert viewer.post("/api/flow_runs/count", {"flow_runs": {"name": {"any_": ["run-1"]}}}).json() == 1


@pytest.mark.parametrize("what", ["flow_runs", "task_runs", "artifacts", "deployments"])
@pytest.mark.parametrize("body", [[], ["flow_runs"], 1])
def test_what_is_no_object_is_not_counted(viewer: Caller, what: str, body: Any) -> None:
    assert viewer.post(f"/api/{what}/count", body).status_code == 422


def test_a_page_takes_as_many_queries_as_a_run(viewer: Caller, new_run: NewRun) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as caught:
            viewer.post("/api/flow_runs/filter", {"flow_runs": {"tags": {"all_": []}}})
        return len(caught)

    new_run()
    one = queries()
    for _ in range(5):
        new_run()

    assert queries() == one


@pytest.mark.parametrize("sort", [None, "EXPECTED_START_TIME_DESC", "EXPECTED_START_TIME_ASC"])
def test_a_page_reads_a_range_of_an_index(viewer: Caller, new_run: NewRun, sort: str | None) -> None:
    new_run()

    with CaptureQueriesContext(connection) as captured:
        viewer.post("/api/flow_runs/filter", {"sort": sort, "limit": 10})

    [read] = [each["sql"] for each in captured.captured_queries if 'FROM "runs_flowrun"' in each["sql"]]
    plan = plan_without_sorting(read)
    assert "using flowrun_" in plan
    assert not re.search(r"(?<!Incremental )Sort  ", plan), plan
