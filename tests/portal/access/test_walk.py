"""Every URL there is, as a stranger and as somebody from another workspace."""

import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from agents.models import WorkPool
from flows.models import Block, Bundle, Calendar, Deployment, Variable
from runs.models import (
    Artifact,
    Backfill,
    ConcurrencyLimit,
    FlowRun,
    Result,
    RetentionPolicy,
    TaskRun,
    TaskRunState,
)
from runs.results import digest_of
from tests.portal.fixtures import Caller

pytestmark = pytest.mark.django_db

METHODS = ["get", "head", "post", "put", "patch", "delete", "options"]
TRICKED = {"get", "post"}  # one that reads, one that writes: spellings are a matter of paths, not of methods
# The only paths that answer a stranger. Nothing is added here without a reason beside it.
OPEN = {
    "/api/health",  # liveness: says nothing but "alive"
    "/api/ready",  # readiness: says which part is missing
    "/admin/login/",  # the way in
}
ANY_ID = str(uuid4())
# What a pattern's parts may stand for.
SAMPLES = [
    (re.compile(r"\(\?P<pk>[^()]*(\([^()]*\)[^()]*)*\)(\{\d+\})?[^/$]*"), ANY_ID),
    (re.compile(r"\(\?P<\w+>[^()]*(\([^()]*\)[^()]*)*\)"), "sample"),
    (re.compile(r"<(uuid|path|str|slug|int)?:?\w+>"), "1"),
]


def patterns(resolver: URLResolver, prefix: str = "") -> Iterator[str]:
    for entry in resolver.url_patterns:
        route = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from patterns(entry, route)
        elif isinstance(entry, URLPattern):
            yield route


def sample_of(route: str) -> str:
    """A path that the route matches, more or less: what misses tests the catch-all instead."""
    for pattern, sample in SAMPLES:
        route = pattern.sub(sample, route)
    return "/" + re.sub(r"\\Z|[\^$?\\]|\.\*", "", route)


def paths() -> list[str]:
    found = {sample_of(route) for route in patterns(get_resolver())}
    return sorted(path for path in found if not path.startswith("/static/"))


def tricks(path: str) -> list[str]:
    """Spellings that might slip past a check of the exact path."""
    plain = path.rstrip("/")
    return [
        plain + "/", f"{plain}/health", f"{plain}/api/health", f"{plain}//", f"/{plain}", f"{plain}%2f",
        f"{plain}/..%2f..%2fapi/health", f"{plain};/api/health", f"{plain}?next=/api/health", f"{plain}%20",
        f"{plain}%00", plain.replace("/api/", "/api//"), plain.upper(), f"{plain}.json", f"{plain}%0a",
    ]  # fmt: skip


def is_closed(answer: Any) -> bool:
    """A stranger got nothing: told to log in, or that there is nothing."""
    if answer.status_code in {301, 302}:
        target = answer["Location"]
        return target.startswith("/admin/login/") or target in {"/admin/", "/"}
    return answer.status_code in {401, 403, 404, 405}


def test_the_walk_finds_the_routes() -> None:
    found = paths()

    assert len(found) > 40
    assert "/api/flow_runs/" in found
    assert any(path.startswith("/api/flow_runs/") and path.endswith("/set_state/") for path in found)
    assert len(OPEN) <= 5


@pytest.mark.parametrize("method", METHODS)
def test_a_stranger_sees_nothing(method: str) -> None:
    client = Client(raise_request_exception=False)
    slipped = []
    for path in paths():
        for spelling in [path, *(tricks(path) if method in TRICKED else [])]:
            if unquote(spelling.partition("?")[0]) in OPEN:
                continue
            answer = getattr(client, method)(spelling)
            if not is_closed(answer):
                slipped.append(f"{method} {spelling}: {answer.status_code}")
    assert slipped == []


@pytest.mark.parametrize("method", METHODS)
def test_the_api_tells_strangers_to_authenticate(method: str) -> None:
    client = Client()
    for path in (*(path for path in paths() if path.startswith("/api/")), "/api/", "/api/nothing/health"):
        if path not in OPEN:
            answer = getattr(client, method)(path)
            assert answer.status_code == 401, path
            assert answer["WWW-Authenticate"], path


@pytest.mark.parametrize("method", ["get", "post", "put", "delete"])
def test_no_path_of_the_api_breaks(editor: Caller, method: str) -> None:
    client = Client(headers={"authorization": f"Bearer {editor.token}"})
    answers = {
        path: getattr(client, method)(path).status_code for path in paths() if path.startswith("/api/")
    }

    assert {path: status for path, status in answers.items() if status >= 500} == {}


def test_another_workspace_is_not_there(foreigner: Caller, new_run: Callable[..., FlowRun]) -> None:
    run = new_run()
    ids = ids_of(run)
    body = {"state": {"type": "CANCELLED"}, "force": True, "parameters": {"year": 1962}}
    details = [path for path in paths() if path.startswith("/api/") and ANY_ID in path]
    own = [path.replace(ANY_ID, str(ids[path.split("/")[2]])) for path in details]

    answers = {path: statuses_of(foreigner, path, body) for path in own}

    assert len(own) >= 9
    closed = {404, 405, 422}  # some read the body before they look for the object
    assert {path: got for path, got in answers.items() if not set(got) <= closed or 404 not in got} == {}
    run.refresh_from_db()
    assert (run.state_type, run.version) == ("SCHEDULED", 1)


def statuses_of(caller: Caller, path: str, body: dict[str, Any]) -> tuple[int, int, int]:
    """Of GET, POST and PATCH."""
    headers = {"authorization": f"Bearer {caller.token}"}
    patched = caller.client.patch(path, body, content_type="application/json", headers=headers)
    return caller.get(path).status_code, caller.post(path, body).status_code, patched.status_code


def ids_of(run: FlowRun) -> dict[str, Any]:
    """An object of each resource of the API, by its name in paths. A new resource belongs here."""
    task_run, background = _task_run(run, flow_run=run), _task_run(run, workspace=run.workspace)
    state = TaskRunState.objects.create(
        task_run=task_run, flow_run=run, type="RUNNING", name="Running", timestamp=run.created
    )
    artifact = Artifact.objects.create(workspace=run.workspace, flow_run=run, type="table", data=[])
    variable = Variable.objects.create(workspace=run.workspace, name="limit", value=1)
    block = Block.objects.create(workspace=run.workspace, name="api-key", sealed=b"")
    limit = ConcurrencyLimit.objects.create(workspace=run.workspace, name="database", limit=1)
    policy = RetentionPolicy.objects.create(workspace=run.workspace, keep_days=30)
    pool = WorkPool.objects.create(workspace=run.workspace, name="gpu")
    bundle = Bundle.objects.create(workspace=run.workspace, sha256="0" * 64, data=b"")
    Result.objects.create(workspace=run.workspace, digest=digest_of("0" * 64), key="k", data=b"r")
    return {
        "flows": run.flow_id, "deployments": run.deployment_id, "flow_runs": run.id,
        "flow_run_states": run.state_id, "task_run_states": state.id,
        "work_pools": pool.name, "work_queues": run.work_queue_id, "task_runs": task_run.id,
        "artifacts": artifact.id,
        "concurrency_limits": limit.id, "v2": limit.id, "bundles": bundle.sha256, "results": "0" * 64,
        "backfills": Backfill.objects.create(workspace=run.workspace, deployment=run.deployment, total=1).id,
        "variables": variable.id, "blocks": block.id, "retention_policies": policy.id,
        "background_tasks": background.id,
        "calendars": Calendar.objects.create(workspace=run.workspace, name="bank").id,
    }  # fmt: skip


def _task_run(run: FlowRun, **of: Any) -> TaskRun:
    return TaskRun.objects.create(
        **of, task_key="t", dynamic_key="0", name="t-0", created=run.created, state_type="RUNNING",
        state_name="Running", state_timestamp=run.created,
    )  # fmt: skip


def test_what_is_asked_for_by_name_or_run_is_not_there(
    foreigner: Caller, new_run: Callable[..., FlowRun]
) -> None:
    run = new_run()

    assert foreigner.get("/api/deployments/name/weather-report/seattle").status_code == 404
    for resource in ("task_runs", "logs", "artifacts"):
        assert foreigner.get(f"/api/{resource}/", flow_run=run.id).status_code == 404


@pytest.mark.parametrize(
    "resource",
    [
        "background_tasks",
        "flows",
        "deployments",
        "flow_runs",
        "work_queues",
        "events",
        "concurrency_limits",
        "bundles",
        "run_stats",
        "backfills",
        "calendars",
    ],
)
def test_lists_are_empty_for_another_workspace(
    foreigner: Caller, new_run: Callable[..., FlowRun], resource: str
) -> None:
    new_run()

    assert foreigner.get(f"/api/{resource}/").json()["results"] == []


def test_deploying_into_another_workspace_is_refused(foreigner: Caller, deployment: Deployment) -> None:
    body = {"name": "mine", "flow_id": str(deployment.flow_id), "entrypoint": "a.py:b"}

    assert foreigner.post("/api/deployments/", body).status_code == 404


def test_a_queue_of_another_workspace_cannot_be_named(foreigner: Caller, deployment: Deployment) -> None:
    body = {
        "name": "mine", "flow_name": "etl", "entrypoint": "a.py:b",
        "work_pool_name": "default/default", "work_queue_name": "default",
    }  # fmt: skip

    refused = foreigner.post("/api/deployments/", body)

    assert refused.status_code == 422
