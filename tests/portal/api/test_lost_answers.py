"""What our own clients send again, because its answer was lost, is made once."""

from collections.abc import Iterator
from http.client import RemoteDisconnected
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from pytest_django.live_server_helper import LiveServer

from flows.deployments import backfill, run_deployment
from flows.models import Deployment, Membership
from flows.sdk.client import ApiClient
from portal.access.tokens import create_token
from runs.models import Backfill, FlowRun
from tests.factories import default_workspace, make_deployment

NAME = "etl/prod"


@pytest.fixture
def lost(live_server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[set[str]]:
    """A server whose first answer to each POST is lost; what was posted to."""
    user = get_user_model().objects.create_user("ada")
    Membership.objects.create(user=user, workspace=default_workspace(), role="editor")
    monkeypatch.setenv("PORTAL_API_URL", f"{live_server.url}/api")
    monkeypatch.setenv("PORTAL_API_KEY", create_token(user, default_workspace())[1])
    exchange, lost = ApiClient._exchange, set()

    def exchange_badly(client: ApiClient, method: str, path: str, body: bytes | None) -> Any:
        answer = exchange(client, method, path, body)
        if method != "POST" or path in lost or path.endswith("preview"):
            return answer
        lost.add(path)
        client._disconnect()
        raise RemoteDisconnected("Remote end closed connection without response")

    monkeypatch.setattr(ApiClient, "_exchange", exchange_badly)
    yield lost


@pytest.fixture
def deployment(lost: set[str]) -> Deployment:
    return make_deployment(parameter_openapi_schema={"properties": {"year": {"type": "integer"}}})


def manage(*arguments: str) -> None:
    call_command(*arguments, stdout=StringIO())


def test_runs_of_a_deployment(deployment: Deployment, lost: set[str]) -> None:
    manage("runflow", NAME)
    assert FlowRun.objects.count() == 1
    lost.clear()
    run = run_deployment(NAME, timeout=0)

    assert FlowRun.objects.count() == 2
    assert FlowRun.objects.filter(id=run.id).exists()


def test_backfills(deployment: Deployment, lost: set[str]) -> None:
    manage("backfill", NAME, "--param", "year=1962,1963")
    assert Backfill.objects.count() == 1
    lost.clear()
    made = backfill(NAME, grid={"year": [1962, 1963]})

    assert Backfill.objects.count() == 2
    assert made.total == 2
