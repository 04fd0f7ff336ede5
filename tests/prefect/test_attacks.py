"""What was tried on the routes of Prefect's clients, and what it comes to."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from agents.models import WorkPool, WorkQueue
from flows.models import Workspace
from flows.sdk.ids import uuid7
from portal import background_bell
from portal.prefect.incoming import ClientEvent, store
from runs.models import Artifact, Event, FlowRun, Log, TaskRun
from runs.run_tokens import make_run_token
from tests.factories import lease, make_deployment, make_queue, make_run
from tests.portal.fixtures import Caller
from tests.prefect.runs import prefect_run
from tests.prefect.sockets import event, task_event

pytestmark = pytest.mark.django_db

BEFORE_ALL_YEARS, AFTER_ALL_YEARS = "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"
NO_NUMBERS = ["nan", "inf", "-Infinity", "1e999"]


@pytest.fixture
def run(workspace: Workspace) -> FlowRun:
    return prefect_run()


def line(run_id: Any, **values: Any) -> dict[str, Any]:
    said = {"name": "n", "level": 20, "message": "forged", "timestamp": datetime.now(UTC).isoformat()}
    return {**said, "flow_run_id": str(run_id), **values}


def test_a_line_of_a_task_gets_into_no_log_of_a_run(
    operator: Caller, elsewhere: Workspace, run: FlowRun
) -> None:
    foreign = make_run(make_deployment(queue=make_queue(workspace=elsewhere)))
    of_agents = make_run()
    lines = [line(each.id, task_run_id=str(each.id)) for each in (foreign, of_agents)]
    lines += [line(None, flow_run_id=None, task_run_id=str(foreign.id)), line(run.id)]

    assert operator.post("/api/logs/", lines).status_code == 201

    assert set(Log.objects.values_list("flow_run_id", flat=True)) == {run.id}


def test_a_runs_token_tells_nothing_of_the_tasks_of_others(run: FlowRun) -> None:
    mine = make_run()
    FlowRun.objects.filter(id=lease(mine).id).update(state_type="RUNNING")
    process = Caller(make_run_token(mine.id, 1), Client())

    assert process.post("/api/events", [task_event(run)]).status_code == 403
    assert process.post("/api/events", {"events": [event()]}).status_code == 201
    assert not TaskRun.objects.exists()


@pytest.mark.parametrize("time", [BEFORE_ALL_YEARS, AFTER_ALL_YEARS, "0001-01-01T00:00:00Z"])
def test_a_time_that_nobody_could_read_again_is_refused(operator: Caller, run: FlowRun, time: str) -> None:
    task_run = {"flow_run_id": str(run.id), "task_key": "k", "dynamic_key": "0", "start_time": time}

    assert operator.post("/api/logs/", [line(run.id, timestamp=time)]).status_code == 422
    assert operator.post("/api/events", [event(occurred=time)]).status_code == 422
    assert operator.post("/api/task_runs/", task_run).status_code == 422
    assert operator.post("/api/events", [task_event(run, start_time=time)]).status_code == 204  # left out
    assert operator.get("/api/task_runs/", flow_run=run.id).json()["results"] == []


@pytest.mark.parametrize("text", NO_NUMBERS)
def test_a_text_is_no_number_without_end(editor: Caller, run: FlowRun, text: str) -> None:
    WorkPool.objects.create(workspace=run.workspace, name="px", type="prefect")
    refused = [
        editor.post("/api/v2/concurrency_limits/", {"name": "l", "limit": 1, "slot_decay_per_second": text}),
        editor.post("/api/concurrency_limits/", {"name": "l", "limit": 1, "slot_decay_per_second": text}),
        editor.post(
            "/api/v2/concurrency_limits/increment-with-lease",
            {"names": ["l"], "slots": 1, "lease_duration": text},
        ),
        editor.post(f"/api/concurrency_limits/leases/{uuid4()}/turn", {"seconds": text}),
        editor.post(
            "/api/work_pools/px/workers/heartbeat", {"name": "w", "heartbeat_interval_seconds": text}
        ),
        editor.post(f"/api/flow_runs/{run.id}/suspend", {"timeout": text}),
        editor.patch(f"/api/flow_runs/{run.id}", {"empirical_policy": {"retry_delay": text}}),
        editor.post(f"/api/deployments/{run.deployment_id}/schedules", [{"schedule": {"interval": text}}]),
    ]

    assert [each.status_code for each in refused] == [422] * len(refused)


@pytest.mark.parametrize("odd", [[], {}, [[]], {"any_": [[]]}, {"any_": [{}]}, {"all_": [5]}])
@pytest.mark.parametrize("place", ["flow_runs", "task_runs"])
def test_a_state_type_of_another_kind_is_refused(viewer: Caller, place: str, odd: Any) -> None:
    odd = odd if isinstance(odd, dict) and odd else {"any_": [odd]}

    assert viewer.post("/api/flow_runs/filter", {place: {"state": {"type": odd}}}).status_code == 422


@pytest.mark.parametrize("body", [[], [1], 5, {"flow_runs": {"operator": [1]}}])
def test_a_count_of_no_object_is_refused(viewer: Caller, body: Any) -> None:
    assert viewer.post("/api/flow_runs/count", body).status_code == 422


@pytest.mark.parametrize(
    "odd",
    [
        {"deployment_id": {"like_": "x"}},
        {"deployment_id": {"all_": [str(uuid4())]}},
        {"parent_task_run_id": {"startswith_": [str(uuid4())]}},
        {"tags": {"like_": "x"}},
        {"start_time": {"all_": ["2026-01-01T00:00:00Z"]}},
    ],
)
def test_a_field_is_not_compared_in_a_way_that_it_has_not(viewer: Caller, odd: Any) -> None:
    assert viewer.post("/api/flow_runs/filter", {"flow_runs": odd}).status_code == 422


def test_each_beginning_is_compared_with_each_row_so_there_are_few(viewer: Caller) -> None:
    wanted = {"flow_runs": {"name": {"startswith_": ["x"] * 101}}}

    assert viewer.post("/api/flow_runs/filter", wanted).status_code == 422


def test_a_filter_of_events_has_an_end(viewer: Caller) -> None:
    for many in (
        {"related": [{"id": ["a"]}] * 11},
        {"any_resource": [{"id": ["a"]}] * 11},
        {"resource": {"labels": {str(n): "x" for n in range(11)}}},
        {"id": {"id": [str(uuid4())] * 501}},
    ):
        assert viewer.post("/api/events/filter", {"filter": many}).status_code == 422


def test_pages_of_events_carry_numbers_of_any_size(operator: Caller) -> None:
    huge = event(payload={"n": 10**30})
    assert operator.post("/api/events", [huge, event()]).status_code == 204

    first = operator.post("/api/events/filter", {"filter": {"unheard_of": 10**30}, "limit": 1})

    assert first.status_code == 200
    address = first.json()["next_page"].removeprefix("http://testserver")
    assert operator.get(address).status_code == 200


def test_a_table_that_would_grow_a_thousandfold_is_refused(operator: Caller, run: FlowRun) -> None:
    table = {"x" * 200_000: [0] * 1000}
    body = {"flow_run_id": str(run.id), "type": "table", "key": "t", "data": table}

    assert operator.post("/api/artifacts/", body).status_code == 422
    assert not Artifact.objects.exists()


def test_labels_do_not_grow_without_end(operator: Caller, run: FlowRun) -> None:
    for n in range(2):
        answer = operator.patch(f"/api/flow_runs/{run.id}/labels", {f"{n}-{m}": 1 for m in range(300)})

    assert answer.status_code == 422
    run.refresh_from_db()
    assert len(run.labels) == 300


def test_a_worker_of_many_queues_asks_in_few_queries(operator: Caller, workspace: Workspace) -> None:
    pool = WorkPool.objects.create(workspace=workspace, name="px", type="prefect")
    names = [f"q{n}" for n in range(30)]
    WorkQueue.objects.bulk_create([WorkQueue(work_pool=pool, name=name) for name in names])

    with CaptureQueriesContext(connection) as queries:
        answer = operator.post("/api/work_pools/px/get_scheduled_flow_runs", {"work_queue_names": names})

    assert answer.status_code == 200
    assert len(queries) < 12
    missing = operator.post("/api/work_pools/px/get_scheduled_flow_runs", {"work_queue_names": ["q1", "no"]})
    assert (missing.status_code, "'no'" in missing.json()["detail"]) == (404, True)


def made(name: str) -> ClientEvent:
    return ClientEvent(uuid7(), datetime.now(UTC), name, {"prefect.resource.id": "order.1"})


def test_one_event_that_cannot_be_stored_costs_the_others_little(workspace: Workspace) -> None:
    events = [made("order.paid") for _ in range(100)]
    events[40].payload = {"n": 10**30, "x": float("inf")}

    with CaptureQueriesContext(connection) as queries:
        store(workspace.id, events)

    assert Event.objects.filter(event="order.paid").count() == 99
    assert len(queries) < 100


def test_names_that_no_column_holds_cost_nothing(workspace: Workspace) -> None:
    with CaptureQueriesContext(connection) as queries:
        store(workspace.id, [made("x" * 301), made("good"), *(made("y" * 400) for _ in range(50))])

    assert [each.event for each in Event.objects.filter(resource_id="order.1")] == ["good"]
    assert len(queries) < 10


def test_a_report_holds_no_time_that_nobody_could_read_again(editor: Caller) -> None:
    run = lease(make_run())
    said = {"flow_run_id": str(run.id), "task_run_id": None, "level": 20, "logger": "x", "message": "m"}
    lines = [{"id": str(uuid4()), "line": {**said, "timestamp": BEFORE_ALL_YEARS}}]

    refused = editor.post(f"/api/flow_runs/{run.id}/report", {"attempt": 1, "logs": lines})

    assert refused.status_code == 422
    assert not Log.objects.exists()


def test_who_finds_no_seat_at_the_bell_asks_by_the_clock(
    editor: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    from threading import BoundedSemaphore

    monkeypatch.setattr(background_bell, "_seats", BoundedSemaphore(1))
    with background_bell._seat():
        answer = editor.post("/api/background_tasks/bell", {"task_keys": ["k"]})

    assert (answer.status_code, answer["Retry-After"]) == (503, "2")
