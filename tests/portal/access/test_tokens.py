"""A token opens its workspace, for as long as it is valid and its user belongs there."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from flows.models import Membership, Workspace
from portal.access.models import ApiToken
from portal.access.tokens import create_token, find_token
from tests.portal.fixtures import Caller, caller_as

pytestmark = pytest.mark.django_db


def get(authorization: str) -> Any:
    return Client().get("/api/flows/", headers={"authorization": authorization})


@pytest.fixture
def user(workspace: Workspace) -> Any:
    made = get_user_model().objects.create_user("ada")
    Membership.objects.create(user=made, workspace=workspace)
    return made


def test_the_text_is_not_stored(user: Any, workspace: Workspace) -> None:
    token, text = create_token(user, workspace, "laptop")

    stored = " ".join(str(value) for value in ApiToken.objects.filter(id=token.id).values_list()[0])
    assert text.startswith("portal_") and len(text) == 50
    assert text not in stored
    assert token.prefix == text[:12]


def test_it_is_found_by_its_text(user: Any, workspace: Workspace) -> None:
    token, text = create_token(user, workspace)

    assert find_token(text) == token
    assert find_token(text + "x") is None
    assert find_token("portal_\ud800") is None


@pytest.mark.parametrize("end", ["revoked", "expired", "user is inactive", "user left"])
def test_it_stops_working(user: Any, workspace: Workspace, end: str) -> None:
    token, text = create_token(user, workspace)
    assert get(f"Bearer {text}").status_code == 200
    past = datetime.now(UTC) - timedelta(seconds=1)
    match end:
        case "revoked":
            ApiToken.objects.filter(id=token.id).update(revoked=past)
        case "expired":
            ApiToken.objects.filter(id=token.id).update(expires=past)
        case "user is inactive":
            get_user_model().objects.filter(pk=user.pk).update(is_active=False)
        case "user left":
            Membership.objects.filter(user=user).delete()

    assert get(f"Bearer {text}").status_code == 401


def test_prefects_auth_string_is_taken(user: Any, workspace: Workspace) -> None:
    text = create_token(user, workspace)[1]

    assert get(f"Basic {base64.b64encode(text.encode()).decode()}").status_code == 200


@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer",
        "Bearer ",
        "Bearer portal_x",
        "Bearer a b",
        "Basic !!!",
        "Basic cG9ydGFsX3g=",
        "Digest x",
        "ü",
    ],
)
def test_a_wrong_token_is_a_401_that_says_what_to_do(db: None, authorization: str) -> None:
    refused = get(authorization)

    assert refused.status_code == 401
    assert refused["WWW-Authenticate"].startswith("Bearer")
    assert refused.json()["exception_message"] == "Unauthorized"
    assert "oken" in refused.json()["detail"] or "base64" in refused.json()["detail"]


def test_a_login_may_use_the_api_with_a_csrf_token(workspace: Workspace) -> None:
    caller_as("editor", workspace, name="ada")
    browser = Client(enforce_csrf_checks=True)
    browser.login(username="ada", password="secret")
    body = {"name": "etl"}

    assert browser.get("/api/flows/").status_code == 200
    assert browser.post("/api/flows/", body, content_type="application/json").status_code == 403
    browser.get("/admin/login/")  # sets the cookie
    secret = "x" * 32
    browser.cookies["csrftoken"] = secret
    made = browser.post("/api/flows/", body, content_type="application/json", headers={"x-csrftoken": secret})
    assert made.status_code == 201


@pytest.mark.parametrize(
    ("role", "run", "deploy"), [("viewer", 403, 403), ("operator", 201, 403), ("editor", 201, 201)]
)
def test_roles(workspace: Workspace, deployment: Any, role: str, run: int, deploy: int) -> None:
    caller = caller_as(role, workspace)
    path = f"/api/deployments/{deployment.id}/create_flow_run"

    assert caller.get("/api/deployments/").status_code == 200
    assert caller.post(path, {"parameters": {"year": 1962}}).status_code == run
    assert caller.post("/api/flows/", {"name": "new"}).status_code == deploy


def test_a_role_elsewhere_does_not_count(workspace: Workspace, elsewhere: Workspace) -> None:
    caller_as("editor", elsewhere, name="ada")
    ada = get_user_model().objects.get(username="ada")
    Membership.objects.create(user=ada, workspace=workspace, role="viewer")
    here = Caller(create_token(ada, workspace)[1], Client())

    assert here.post("/api/flows/", {"name": "new"}).status_code == 403


def test_a_login_counts_with_its_role_in_the_objects_workspace(
    workspace: Workspace, elsewhere: Workspace, deployment: Any
) -> None:
    caller_as("editor", elsewhere, name="ada")
    Membership.objects.create(user=get_user_model().objects.get(), workspace=workspace, role="viewer")
    browser = Client()
    browser.login(username="ada", password="secret")
    path = f"/api/deployments/{deployment.id}"

    assert browser.get(path).status_code == 200
    body = {"parameters": {"year": 1962}}
    assert browser.post(f"{path}/create_flow_run", body, content_type="application/json").status_code == 403


def test_a_superuser_needs_no_membership(workspace: Workspace) -> None:
    root = get_user_model().objects.create_superuser("root")
    caller = Caller(create_token(root, workspace)[1], Client())

    assert caller.post("/api/flows/", {"name": "new"}).status_code == 201
