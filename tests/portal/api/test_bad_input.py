"""Whatever comes in, the answer is 4xx with a text, or 503 when a server behind us is away."""

from typing import Any

import pytest
import redis
from django.db import OperationalError, connection
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows.models import Deployment, Workspace
from portal.api.base.errors import handle
from tests.portal.fixtures import Caller, caller_as, deployment_in

pytestmark = pytest.mark.django_db


def send(caller: Caller, body: bytes, content_type: str = "application/json") -> Any:
    return caller.client.post(
        "/api/flows/", body, content_type=content_type, headers={"authorization": f"Bearer {caller.token}"}
    )


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b'{"name": NaN}', 400),
        (b'{"name": 1e999}', 400),
        (b'{"name": "a\\u0000b"}', 400),
        (b'{"name": "\\ud800"}', 400),
        (b'{"name": ' + b"9" * 5000 + b"}", 400),
        (b'{"x": ' + b"[" * 100 + b"]" * 100 + b"}", 400),
        (b"[" * 100_000, 400),
        (b'{"name": "' + b"x" * 5_000_000 + b'"}', 413),
        (b"[]", 422),
        (b"null", 422),
        (b'"text"', 422),
        (b'{"name": {"a": 1}}', 422),
        (b'{"name": "-"}', 422),
    ],
    ids=lambda value: str(value[:24]) if isinstance(value, bytes) else value,
)
def test_a_bad_body_is_refused_with_a_text(editor: Caller, body: bytes, status: int) -> None:
    refused = send(editor, body)

    assert refused.status_code == status
    assert refused.json()["detail"]


def test_only_json_is_taken(editor: Caller) -> None:
    assert send(editor, b"name=x", "application/x-www-form-urlencoded").status_code == 415


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "nonsense"])
def test_the_answer_is_json_whatever_is_accepted(viewer: Caller, accept: str) -> None:
    answer = viewer.client.get(
        "/api/flows/?format=html", headers={"authorization": f"Bearer {viewer.token}", "accept": accept}
    )

    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/json"


@pytest.mark.parametrize("error", [OperationalError("gone"), redis.ConnectionError("gone")])
def test_a_server_that_is_away_is_a_503_to_try_again(error: Exception) -> None:
    answer = handle(error, {})

    assert answer is not None
    assert answer.status_code == 503
    assert answer["Retry-After"] == "2"
    assert "gone" not in answer.data["detail"]


def test_a_method_that_is_not_there(viewer: Caller) -> None:
    for method in ("put", "patch", "delete", "options"):
        answer = getattr(viewer.client, method)(
            "/api/flows/", headers={"authorization": f"Bearer {viewer.token}"}
        )
        assert answer.status_code == 405


ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=2**62)
    | st.floats()
    | st.text(st.characters() | st.characters(categories=["Cs"]))
    | st.sampled_from(["2030-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FIELDS = ["parameters", "name", "tags", "idempotency_key", "state", "unheard_of"]
STATES = st.fixed_dictionaries(
    {}, optional={"type": ANY_JSON, "state_details": st.fixed_dictionaries({"scheduled_time": ANY_JSON})}
)
BODIES = ANY_JSON | st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(FIELDS, ANY_JSON)
    | {"parameters": ANY_JSON | st.fixed_dictionaries({"year": ANY_JSON}), "state": ANY_JSON | STATES},
)


@pytest.fixture
def runnable(workspace: Workspace) -> tuple[Caller, Deployment]:
    return caller_as("operator", workspace), deployment_in(workspace, parameters={"year": 1962})


@given(body=BODIES)
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_no_body_of_create_flow_run_breaks_the_server(runnable: tuple[Caller, Deployment], body: Any) -> None:
    caller, deployment = runnable

    answer = caller.post(f"/api/deployments/{deployment.id}/create_flow_run", body)

    assert answer.status_code in {200, 201, 400, 409, 422}, answer.content


@pytest.mark.django_db(transaction=True)
def test_a_database_that_is_away_is_a_503(monkeypatch: pytest.MonkeyPatch) -> None:
    connection.close()
    monkeypatch.setitem(connection.settings_dict, "PORT", "1")

    answer = Client().get("/api/flows/", headers={"authorization": "Bearer portal_x"})

    assert answer.status_code == 503
    assert answer["Retry-After"] == "2"
