"""The admin pages of variables and blocks."""

from typing import Any

import pytest
from django.test import Client

from flows.catalog.vault import seal, unseal
from flows.models import Block, Variable, Workspace
from tests.portal.fixtures import workspace as workspace_fixture
from tests.portal.pages.test_flow_run import client_as

pytestmark = pytest.mark.django_db
workspace = workspace_fixture


@pytest.fixture
def editor_client(workspace: Workspace) -> Client:
    return client_as("editor", workspace)


def form(workspace: Workspace, **fields: Any) -> dict[str, Any]:
    return {"workspace": str(workspace.id), "name": "it", "tags": "", **fields}


def test_a_variable_is_added_and_changed(editor_client: Client, workspace: Workspace) -> None:
    added = editor_client.post("/admin/flows/variable/add/", form(workspace, value='{"rows": 3}'))
    assert added.status_code == 302
    variable = Variable.objects.get(name="it")
    assert variable.value == {"rows": 3}

    editor_client.post(f"/admin/flows/variable/{variable.pk}/change/", form(workspace, value="4"))
    variable.refresh_from_db()
    assert variable.value == 4
    assert ">4<" in editor_client.get("/admin/flows/variable/").content.decode()


def test_a_variable_that_flows_could_not_set_is_refused(editor_client: Client, workspace: Workspace) -> None:
    too_long = form(workspace, value='"' + "x" * 5001 + '"')

    page = editor_client.post("/admin/flows/variable/add/", too_long).content.decode()

    assert "longer than 5000 characters" in page
    assert not Variable.objects.exists()


def test_a_secret_is_added_replaced_and_never_shown(editor_client: Client, workspace: Workspace) -> None:
    added = form(workspace, type="secret", content="tell nobody")
    assert editor_client.post("/admin/flows/block/add/", added).status_code == 302
    block = Block.objects.get()
    assert unseal(workspace.id, block.sealed) == {"value": "tell nobody"}

    path = f"/admin/flows/block/{block.pk}/change/"
    for page in (path, "/admin/flows/block/"):
        assert b"tell nobody" not in editor_client.get(page).content
    editor_client.post(path, {"content": "new"})

    block.refresh_from_db()
    assert unseal(workspace.id, block.sealed) == {"value": "new"}


def test_other_types_are_json_objects(editor_client: Client, workspace: Workspace) -> None:
    wrong = form(workspace, type="database-login", content="tell nobody")
    page = editor_client.post("/admin/flows/block/add/", wrong).content.decode()
    assert "as a JSON object" in page
    assert "tell nobody" not in page

    editor_client.post("/admin/flows/block/add/", {**wrong, "content": '{"host": "db"}'})
    assert unseal(workspace.id, Block.objects.get().sealed) == {"host": "db"}


def test_an_operator_looks_and_changes_nothing(workspace: Workspace) -> None:
    operator = client_as("operator", workspace)
    block = Block.objects.create(workspace=workspace, name="api-key", sealed=seal(workspace.id, {"value": 1}))
    path = f"/admin/flows/block/{block.pk}/change/"

    page = operator.get(path)

    assert page.status_code == 200
    assert 'type="password"' not in page.content.decode()
    assert operator.post(path, {"content": "new"}).status_code == 403
    assert operator.get("/admin/flows/variable/add/").status_code == 403
