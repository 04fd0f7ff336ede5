"""What Prefect's clients ask of a server before anything else."""

import base64

import pytest
from django.test import Client

from tests.portal.fixtures import Caller

pytestmark = pytest.mark.django_db
PREFECT = {"user-agent": "prefect/3.8.8 (API 0.8.4)", "x-prefect-api-version": "0.8.4"}


def as_basic(token: str) -> str:
    return "Basic " + base64.b64encode(token.encode()).decode()


def test_it_says_what_clients_want_to_hear(viewer: Caller) -> None:
    assert viewer.get("/api/admin/version").json() == "3.9.1"
    assert viewer.get("/api/admin/storage").json() == {"default_result_storage_block_id": None}
    assert viewer.get("/api/hello").json() == "👋"
    assert viewer.get("/api/collections/views/aggregate-worker-metadata").status_code == 404


def test_clients_learn_that_they_need_no_csrf_token(viewer: Caller) -> None:
    answer = viewer.get("/api/csrf-token", client="429bbadf-468d-4f92-8e3c-54b673fece80")

    assert (answer.status_code, answer.json()["detail"]) == (422, "CSRF protection is disabled.")


def test_there_are_no_automations(editor: Caller) -> None:
    refused = editor.post("/api/automations/", {"name": "on-failure"})

    assert refused.status_code == 422
    assert "runs no automations" in refused.json()["detail"]
    assert editor.post("/api/automations/filter", {"limit": None}).json() == []
    assert editor.get("/api/automations/related-to/prefect.deployment.x").json() == []
    assert editor.delete("/api/automations/owned-by/prefect.deployment.x").status_code == 202


@pytest.mark.parametrize(
    ("version", "status"),
    [("0.8.4", 200), ("0.8.0", 200), ("1.0.0", 200), ("0.7.9", 400), ("0.8", 400), ("new", 400), ("", 400)],
)
def test_clients_that_speak_another_language_are_turned_away(
    viewer: Caller, version: str, status: int
) -> None:
    headers = {"authorization": f"Bearer {viewer.token}", "x-prefect-api-version": version}

    assert Client().get("/api/hello", headers=headers).status_code == status


def test_the_auth_string_opens_the_api(viewer: Caller) -> None:
    headers = {**PREFECT, "authorization": as_basic(viewer.token)}

    assert Client().get("/api/admin/version", headers=headers).status_code == 200


def test_a_client_with_an_api_key_alone_is_told_what_to_set(viewer: Caller) -> None:
    headers = {**PREFECT, "authorization": f"Bearer {viewer.token}"}

    refused = Client().get("/api/admin/version", headers=headers)

    assert refused.status_code == 401
    assert refused.json()["exception_message"] == "Unauthorized"
    assert "PREFECT_API_AUTH_STRING" in refused.json()["detail"]
