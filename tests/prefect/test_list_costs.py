"""What the lists of Prefect's clients cost: as many queries for many rows as for few."""

from collections.abc import Callable

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agents.models import Worker, WorkPool, WorkQueue
from agents.services.database import database_time
from flows.models import Variable, Workspace
from runs.models import Artifact, ConcurrencyLimit
from tests.factories import make_deployment, make_run
from tests.portal.fixtures import Caller
from tests.prefect.runs import prefect_run
from tests.prefect.sockets import event, task_event

pytestmark = pytest.mark.django_db

LISTS = (
    "artifacts", "artifacts/latest", "concurrency_limits", "deployments", "events", "flow_runs", "flows",
    "logs", "task_runs", "v2/concurrency_limits", "variables", "work_pools", "work_pools/px/queues",
    "work_pools/px/workers", "work_queues",
)  # fmt: skip
MOST_QUERIES = 9


@pytest.fixture
def make_all(editor: Caller, workspace: Workspace) -> Callable[[int], None]:
    """Makes one of everything that is listed, by number."""
    px = WorkPool.objects.create(workspace=workspace, name="px", type="prefect")

    def make(number: int) -> None:
        run = prefect_run(make_run(make_deployment(f"d{number}", flow=f"f{number}", concurrency_limit=1)))
        WorkPool.objects.create(workspace=workspace, name=f"p{number}", type="prefect")
        WorkQueue.objects.create(work_pool=px, name=f"q{number}")
        Worker.objects.create(work_pool=px, name=f"w{number}", last_heartbeat_time=database_time())
        Variable.objects.create(workspace=workspace, name=f"v{number}", value=1)
        Artifact.objects.create(workspace=workspace, flow_run=run, type="markdown", key=f"k{number}", data="")
        for name in (f"l{number}", f"tag:t{number}"):
            ConcurrencyLimit.objects.create(workspace=workspace, name=name, limit=1)
        line = {"name": "n", "level": 20, "message": "m", "timestamp": run.created.isoformat()}
        assert editor.post("/api/logs/", [{**line, "flow_run_id": str(run.id)}]).status_code == 201
        assert editor.post("/api/events", [event(), task_event(run)]).status_code == 204

    return make


def test_lists_cost_the_same_however_many_there_are(editor: Caller, make_all: Callable[[int], None]) -> None:
    make_all(0)
    few = {name: _cost(editor, name, least=1) for name in LISTS}
    for number in range(1, 4):
        make_all(number)

    many = {name: _cost(editor, name, least=4) for name in LISTS}

    assert many == few
    assert {name: cost for name, cost in many.items() if cost > MOST_QUERIES} == {}


def _cost(caller: Caller, name: str, least: int) -> int:
    """The number of queries of a list, which has at least so many rows."""
    with CaptureQueriesContext(connection) as queries:
        answer = caller.post(f"/api/{name}/filter", {}).json()
    assert len(answer["events"] if name == "events" else answer) >= least, name
    return len(queries)
