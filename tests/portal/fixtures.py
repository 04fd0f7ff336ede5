"""People, workspaces and things to run that the tests of the API share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from agents.registry import resolve
from flows.catalog.deployments import deploy
from flows.models import Deployment, Membership, Workspace
from portal.access.tokens import create_token

SCHEMA = {
    "type": "object",
    "properties": {
        "year": {"type": "integer", "minimum": 1900, "maximum": 2100},
        "city": {"type": "string"},
    },
    "required": ["year"],
}


@dataclass(frozen=True)
class Caller:
    """An HTTP client that sends JSON with a token."""

    token: str
    client: Client

    def get(self, path: str, **query: Any) -> Any:
        return self.client.get(path, query, headers={"authorization": f"Bearer {self.token}"})

    def post(self, path: str, body: Any = None) -> Any:
        return self._send("POST", path, {} if body is None else body)

    def patch(self, path: str, body: Any) -> Any:
        return self._send("PATCH", path, body)

    def delete(self, path: str) -> Any:
        return self._send("DELETE", path, {})

    def _send(self, method: str, path: str, body: Any) -> Any:
        headers = {"authorization": f"Bearer {self.token}"}
        send = getattr(self.client, method.lower())
        return send(path, body, content_type="application/json", headers=headers)


def caller_as(role: str, workspace: Workspace, name: str | None = None) -> Caller:
    """A caller with a token of a new user who has this role in `workspace`."""
    user = get_user_model().objects.create_user(name or f"{role}-{workspace.name}", password="secret")
    Membership.objects.create(user=user, workspace=workspace, role=role)
    return Caller(create_token(user, workspace)[1], Client(raise_request_exception=True))


def deployment_in(workspace: Workspace, name: str = "seattle", **values: Any) -> Deployment:
    values = {"entrypoint": "weather.py:weather_report", "parameter_openapi_schema": SCHEMA} | values
    queue = resolve("default", workspace.name)
    made, _ = deploy(workspace, flow_name="weather-report", name=name, work_queue_id=queue.id, **values)
    return made


@pytest.fixture
def workspace(db: None) -> Workspace:
    return Workspace.objects.get(name="default")


@pytest.fixture
def elsewhere(db: None) -> Workspace:
    """A workspace in which nobody of the default one is a member."""
    return Workspace.objects.create(name="elsewhere")


@pytest.fixture
def admin(workspace: Workspace) -> Caller:
    return caller_as("admin", workspace)


@pytest.fixture
def editor(workspace: Workspace) -> Caller:
    return caller_as("editor", workspace)


@pytest.fixture
def operator(workspace: Workspace) -> Caller:
    return caller_as("operator", workspace)


@pytest.fixture
def viewer(workspace: Workspace) -> Caller:
    return caller_as("viewer", workspace)


@pytest.fixture
def foreigner(elsewhere: Workspace) -> Caller:
    """An admin of another workspace."""
    return caller_as("admin", elsewhere)


@pytest.fixture
def deployment(workspace: Workspace) -> Deployment:
    return deployment_in(workspace)


@pytest.fixture
def new_run(deployment: Deployment) -> Callable[..., Any]:
    """Makes a run of `deployment`."""
    from runs.create import create_flow_run

    return lambda **values: create_flow_run(deployment, **({"parameters": {"year": 1962}} | values))


def staff(workspace: Workspace, role: str) -> Client:
    """A browser in which a member of `workspace` is logged in."""
    user = get_user_model().objects.create_user(f"{role}-{workspace.name}", is_staff=True)
    Membership.objects.create(user=user, workspace=workspace, role=role)
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def superuser(db: None) -> Client:
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("root"))
    return client


@pytest.fixture
def member(workspace: Workspace) -> Callable[[str], Client]:
    """Logs a new member of the default workspace in, with this role."""
    return lambda role: staff(workspace, role)


@pytest.fixture
def outsider(elsewhere: Workspace) -> Client:
    """An admin of another workspace."""
    return staff(elsewhere, "admin")
