"""What our own clients send again, because its answer was lost, is made once."""

from collections.abc import Iterator
from http.client import RemoteDisconnected
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connection
from pytest_django.live_server_helper import LiveServer

from flows.models import Membership
from flows.sdk.client import ApiClient
from portal.access.tokens import create_token
from runs.models import Backfill, FlowRun
from tests.factories import default_workspace, make_deployment
from tests.processes import wait_until


@pytest.fixture
def lost(live_server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A server whose first answer to each POST is lost."""
    user = get_user_model().objects.create_user("ada")
    Membership.objects.create(user=user, workspace=default_workspace(), role="editor")
    monkeypatch.setenv("PORTAL_API_URL", f"{live_server.url}/api")
    monkeypatch.setenv("PORTAL_API_KEY", create_token(user, default_workspace())[1])
    exchange, lost, clients = ApiClient._exchange, set(), set()

    def exchange_badly(client: ApiClient, method: str, path: str, body: bytes | None) -> Any:
        clients.add(client)
        answer = exchange(client, method, path, body)
        if method != "POST" or path in lost or path.endswith("preview"):
            return answer
        lost.add(path)
        client._disconnect()
        raise RemoteDisconnected("Remote end closed connection without response")

    monkeypatch.setattr(ApiClient, "_exchange", exchange_badly)
    yield
    for client in clients:
        client.close()
    wait_until(lambda: not _others(), what="the server's threads have closed their connections")


def _others() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        return int(cursor.fetchone()[0])


def test_runs_and_backfills(lost: None) -> None:
    make_deployment(parameter_openapi_schema={"properties": {"year": {"type": "integer"}}})

    call_command("runflow", "etl/prod", stdout=StringIO())
    assert FlowRun.objects.count() == 1

    call_command("backfill", "etl/prod", "--param", "year=1962,1963", stdout=StringIO())
    assert Backfill.objects.count() == 1
