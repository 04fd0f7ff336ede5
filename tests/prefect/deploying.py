"""Deployments as Prefect's clients make them: bodies as recorded, and what is asked with them."""

from typing import Any

import pytest

from tests.portal.fixtures import Caller

DEPLOYMENTS = "/api/deployments/"

# As recorded, without what is null.
SERVED = {
    "name": "served-dep", "paused": False, "enforce_parameter_schema": True, "parameters": {"x": 5},
    "parameter_openapi_schema": {
        "title": "Parameters",
        "type": "object",
        "properties": {"x": {"default": 1, "position": 0, "title": "x", "type": "integer"}},
    },
    "schedules": [
        {"schedule": {"cron": "* * * * *", "timezone": None, "day_or": True}, "active": True,
         "max_scheduled_runs": 2, "parameters": {}, "slug": None, "replaces": None}
    ],
    "concurrency_limit": None, "concurrency_options": None, "tags": ["srv"], "labels": {"team": "blue"},
    "work_queue_name": None, "storage_document_id": None, "infrastructure_document_id": None,
    "description": "a served one", "path": ".", "entrypoint": "scen/s3.py:served", "job_variables": {},
    "version": "1.0", "version_info": {"type": "prefect:simple", "version": "1.0"},
}  # fmt: skip
POOLED = {
    "name": "pool-dep", "entrypoint": "flows.py:pipeline", "path": None, "tags": ["pool"],
    "pull_steps": [{"prefect.deployments.steps.set_working_directory": {"directory": "/srv/proj"}}],
    "schedules": [
        {"schedule": {"interval": 3600.0, "anchor_date": "2026-11-22T08:35:17.098262Z", "timezone": "UTC"}}
    ],
    "concurrency_limit": 1, "concurrency_options": None, "parameters": {"n": 3},
    "work_queue_name": "high", "work_pool_name": "px", "job_variables": {"env": {"FOO": "1"}},
}  # fmt: skip


@pytest.fixture
def flow_id(editor: Caller) -> str:
    found: str = editor.post("/api/flows/", {"name": "served", "tags": [], "labels": {}}).json()["id"]
    return found


@pytest.fixture
def pool(editor: Caller) -> str:
    assert editor.post("/api/work_pools/", {"name": "px", "type": "process"}).status_code == 201
    return "px"


def deploy(caller: Caller, flow_id: str, body: dict[str, Any] = SERVED, **changes: Any) -> dict[str, Any]:
    answer = caller.post(DEPLOYMENTS, {**body, "flow_id": flow_id, **changes})
    assert answer.status_code in (200, 201), answer.json()
    made: dict[str, Any] = answer.json()
    return made


def run_of(caller: Caller, deployment: dict[str, Any], **body: Any) -> Any:
    return caller.post(f"{DEPLOYMENTS}{deployment['id']}/create_flow_run", body)
