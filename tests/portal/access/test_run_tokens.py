"""What the token of a run opens, and that it opens nothing else."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from agents.models import WorkPool, WorkQueue
from flows.catalog.vault import seal
from flows.models import Block, Deployment, Variable, Workspace
from flows.sdk.recorder import Status
from flows.sdk.states import Completed
from portal.access.run_tokens import OPENED
from runs.models import ConcurrencyLimit, Errand, FlowRun, Result, TaskRun
from runs.results import digest_of
from runs.run_tokens import make_run_token
from runs.session import DjangoSession
from runs.transition import transition
from tests.factories import make_queue, make_run
from tests.portal.access.test_walk import ANY_ID, METHODS, OPEN, ids_of, is_closed, sample_of
from tests.portal.fixtures import Caller

pytestmark = pytest.mark.django_db
NAME = "0" * 64  # the hash of a key


@pytest.fixture
def mine(workspace: Workspace) -> FlowRun:
    """A run that an agent owns as attempt 3."""
    run = make_run()
    lease = datetime.now(UTC) + timedelta(seconds=8)
    FlowRun.objects.filter(id=run.id).update(
        attempt=3, lease_expires=lease, state_type="RUNNING", state_name="Running"
    )
    run.refresh_from_db()
    return run


@pytest.fixture
def process(mine: FlowRun) -> Caller:
    return Caller(make_run_token(mine.id, 3), Client(raise_request_exception=True))


def routes(resolver: URLResolver, prefix: str = "") -> Iterator[tuple[str, URLPattern]]:
    for entry in resolver.url_patterns:
        path = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from routes(entry, path)
        else:
            yield path, entry


def closed_routes() -> list[tuple[str, str]]:
    """(method, path) of all that is not named in `OPENED`."""
    found = []
    for path, route in routes(get_resolver()):
        actions = dict(getattr(route.callback, "actions", None) or {})
        actions["head"] = actions.get("get")
        opened = OPENED.get(getattr(route.callback, "initkwargs", {}).get("basename", ""), frozenset())
        if not path.startswith("static/"):
            found += [(each, sample_of(path)) for each in METHODS if actions.get(each) not in opened]
    return [(method, path) for method, path in found if path not in OPEN]


def test_every_other_route_is_closed(mine: FlowRun, process: Caller) -> None:
    ids = ids_of(mine)
    headers = {"authorization": f"Bearer {process.token}"}
    slipped = []
    for method, sample in closed_routes():
        resource = sample.split("/")[2] if sample.startswith("/api/") else ""
        path = sample.replace(ANY_ID, str(ids.get(resource, ANY_ID)))
        answer = getattr(process.client, method)(path, headers=headers)
        if not is_closed(answer):
            slipped.append(f"{method} {path}: {answer.status_code}")

    assert len(closed_routes()) > 300
    assert slipped == []


def test_its_own_run_is_read(mine: FlowRun, process: Caller) -> None:
    assert process.get(f"/api/flow_runs/{mine.id}").json()["name"] == mine.name


@pytest.mark.parametrize("path", ["", "/results/" + NAME, "/input/question-1"])
def test_other_runs_are_not_there(process: Caller, path: str) -> None:
    other = make_run()

    assert process.get(f"/api/flow_runs/{other.id}{path}").status_code == 404


@pytest.mark.parametrize("action", ["resume", "suspend", "input", "input/filter", "lock_result"])
def test_other_runs_cannot_be_changed(process: Caller, action: str) -> None:
    other = make_run()
    body = {"key": "k", "value": "1", "hash": NAME, "holder": "h", "attempt": 0}

    assert process.post(f"/api/flow_runs/{other.id}/{action}", body).status_code == 404


def test_errands_of_other_runs_are_out_of_reach(mine: FlowRun, process: Caller, workspace: Workspace) -> None:
    default_queue = make_queue()
    theirs = Errand.objects.create(
        workspace=workspace, flow_run=make_run(), attempt=3, work_queue=default_queue, payload=b"call"
    )
    ids, queue = [str(theirs.id)], str(default_queue.id)
    path = f"/api/flow_runs/{mine.id}/errands"
    exchange = {"work_queue_id": queue, "new": [], "done": ids, "waiting": ids}

    assert process.post(f"{path}/look", {"work_queue_id": queue, "ids": ids}).json() == {"seen": {}}
    assert process.post(f"{path}/take_back", {"id": ids[0]}).json() == {"taken": False}
    assert process.post(f"{path}/exchange", exchange).json() == {"answered": []}
    assert process.post(f"/api/flow_runs/{make_run().id}/errands/exchange", exchange).status_code == 404
    assert Errand.objects.filter(id=theirs.id, payload=b"call").exists()


def test_its_errands_stay_in_its_workspace(process: Caller, mine: FlowRun, elsewhere: Workspace) -> None:
    pool = WorkPool.objects.create(workspace=elsewhere, name="theirs")
    queue = WorkQueue.objects.create(work_pool=pool, name="theirs")
    path = f"/api/flow_runs/{mine.id}/errands"
    exchange = {"work_queue_id": str(queue.id), "new": [], "done": [], "waiting": []}

    assert process.post(f"{path}/exchange", exchange).status_code == 422
    assert process.post(f"{path}/queue", {"name": "elsewhere/theirs/theirs"}).status_code == 422
    assert process.post(f"{path}/queue", {"name": "theirs/theirs"}).status_code == 422


def test_a_run_that_it_starts_is_its_own(mine: FlowRun, process: Caller, deployment: Deployment) -> None:
    path = f"/api/deployments/{deployment.id}/create_flow_run"
    started = process.post(path, {"parameters": {"year": 1962}})

    assert started.status_code == 201
    assert started.json()["created_by"]["id"] == str(mine.id)
    assert process.get(f"/api/flow_runs/{started.json()['id']}").status_code == 200


def test_a_run_cannot_be_put_below_another_one(process: Caller, deployment: Deployment) -> None:
    other = make_run()
    task_run = TaskRun.objects.create(
        flow_run=other, task_key="t", dynamic_key="0", name="t-0", created=other.created,
        state_type="RUNNING", state_name="Running", state_timestamp=other.created,
    )  # fmt: skip
    body = {"parameters": {"year": 1962}, "parent_task_run_id": str(task_run.id)}

    assert process.post(f"/api/deployments/{deployment.id}/create_flow_run", body).status_code == 422


def test_variables_blocks_and_limits_are_those_of_its_workspace(
    process: Caller, workspace: Workspace, elsewhere: Workspace
) -> None:
    for place, value in ((workspace, 1), (elsewhere, 2)):
        Variable.objects.create(workspace=place, name="limit", value=value)
        Block.objects.create(workspace=place, name="api-key", sealed=seal(place.id, {"value": value}))
    Variable.objects.create(workspace=elsewhere, name="theirs", value=1)
    Block.objects.create(workspace=elsewhere, name="theirs", sealed=b"")
    ConcurrencyLimit.objects.create(workspace=elsewhere, name="database", limit=1)
    body = {"lease_id": ANY_ID, "names": ["database"], "occupy": 1, "lease_seconds": 30}

    assert process.get("/api/variables/name/limit").json()["value"] == 1
    assert process.get("/api/blocks/type/secret/name/api-key").json()["document"] == {"value": 1}
    assert process.get("/api/variables/name/theirs").status_code == 404
    assert process.get("/api/blocks/type/secret/name/theirs").status_code == 404
    assert process.post("/api/concurrency_limits/acquire", body).json()["missing"] == ["database"]


def test_shared_results_are_read_and_those_of_other_runs_are_not(process: Caller, mine: FlowRun) -> None:
    other = make_run()
    for run in (None, mine, other):
        Result.objects.create(
            workspace=mine.workspace, flow_run=run, key="k", data=b"signed",
            digest=digest_of(NAME, run.id if run else None),
        )  # fmt: skip
    stolen = digest_of(NAME, other.id)

    assert process.get(f"/api/results/{NAME}").json() == {"data": "c2lnbmVk"}
    assert process.get(f"/api/flow_runs/{mine.id}/results/{NAME}").status_code == 200
    assert process.get(f"/api/results/{stolen}").status_code == 404
    assert process.get(f"/api/flow_runs/{mine.id}/results/{stolen}").status_code == 404


def test_the_signing_key_is_that_of_its_workspace_alone(
    process: Caller, foreigner: Caller, editor: Caller, operator: Caller, settings: Any
) -> None:
    path = "/api/results/signing_keys"
    (key,) = process.get(path).json()["keys"]

    assert editor.get(path).json()["keys"] == [key] != foreigner.get(path).json()["keys"]
    assert bytes.fromhex(key) not in settings.PORTAL_RESULT_KEYS[0].encode()
    assert operator.get(path).status_code == 403


@pytest.mark.parametrize("path", ["variables/name/x", f"results/{NAME}", "results/signing_keys"])
def test_the_token_ends_with_its_attempt(mine: FlowRun, process: Caller, path: str) -> None:
    FlowRun.objects.filter(id=mine.id).update(attempt=4)

    assert process.get(f"/api/{path}").status_code == 401


def test_hooks_are_served_for_a_minute_after_the_end(mine: FlowRun, process: Caller) -> None:
    assert transition(DjangoSession(), mine.id, Completed(), attempt=3).status is Status.ACCEPT
    Variable.objects.create(workspace=mine.workspace, name="address", value="ops@example.org")

    assert process.get("/api/variables/name/address").status_code == 200
    FlowRun.objects.filter(id=mine.id).update(end_time=datetime.now(UTC) - timedelta(seconds=61))
    assert process.get("/api/variables/name/address").status_code == 401


def test_authentication_costs_one_query(
    process: Caller, workspace: Workspace, django_assert_num_queries: Any
) -> None:
    Variable.objects.create(workspace=workspace, name="limit", value=1)

    with django_assert_num_queries(3):  # the run, the variable by name, its row
        process.get("/api/variables/name/limit")
