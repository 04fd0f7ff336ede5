"""Variables and blocks over HTTP."""

from typing import Any

import pytest

from flows.catalog.vault import UnreadableError, seal, unseal
from flows.models import Block, Variable, Workspace
from tests.portal.fixtures import Caller

pytestmark = pytest.mark.django_db

LIMIT = {"name": "limit", "value": {"rows": 3}, "tags": ["prod"]}
SECRET = {"type": "secret", "name": "api-key", "document": {"value": "tell nobody"}}


def change(caller: Caller, method: str, path: str, body: Any = None) -> Any:
    headers = {"authorization": f"Bearer {caller.token}"}
    send = getattr(caller.client, method)
    return send(path, body, content_type="application/json", headers=headers)


def test_a_variable_is_made_read_changed_and_deleted(editor: Caller) -> None:
    made = editor.post("/api/variables/", LIMIT)
    assert (made.status_code, made.json()["value"]) == (201, {"rows": 3})

    path = "/api/variables/name/limit"
    assert change(editor, "patch", path, {"value": 4}).status_code == 204
    assert editor.get(path).json()["value"] == 4
    assert editor.get(path).json()["tags"] == ["prod"]
    assert editor.get(f"/api/variables/{made.json()['id']}").json()["name"] == "limit"
    assert change(editor, "delete", path).status_code == 204
    assert editor.get(path).status_code == 404


def test_a_variable_may_be_null(editor: Caller) -> None:
    made = editor.post("/api/variables/", {"name": "nothing", "value": None})

    assert (made.status_code, made.json()["value"]) == (201, None)
    assert Variable.objects.filter(name="nothing").exists()


def test_a_second_variable_of_a_name_is_a_conflict(editor: Caller) -> None:
    editor.post("/api/variables/", LIMIT)

    assert editor.post("/api/variables/", LIMIT).status_code == 409


@pytest.mark.parametrize(
    "body",
    [{"name": "Big Name", "value": 1}, {"name": "x", "value": "x" * 5001}, {"name": "x"}, {"value": 1}],
)
def test_a_bad_variable_is_refused(editor: Caller, body: Any) -> None:
    assert editor.post("/api/variables/", body).status_code == 422


def test_who_may_not_edit_changes_nothing(operator: Caller, editor: Caller) -> None:
    editor.post("/api/variables/", LIMIT)

    assert operator.get("/api/variables/name/limit").status_code == 200
    assert operator.post("/api/variables/", {"name": "x", "value": 1}).status_code == 403
    assert change(operator, "patch", "/api/variables/name/limit", {"value": 4}).status_code == 403
    assert change(operator, "delete", "/api/variables/name/limit").status_code == 403
    assert operator.post("/api/blocks/", SECRET).status_code == 403


def test_a_variable_of_another_workspace_is_not_there(editor: Caller, foreigner: Caller) -> None:
    editor.post("/api/variables/", LIMIT)

    assert foreigner.get("/api/variables/name/limit").status_code == 404
    assert change(foreigner, "delete", "/api/variables/name/limit").status_code == 404


def test_what_is_in_a_block_is_never_shown(editor: Caller) -> None:
    made = editor.post("/api/blocks/", SECRET)

    assert made.status_code == 201
    shown = (
        made.content
        + editor.get("/api/blocks/").content
        + editor.get(f"/api/blocks/{made.json()['id']}").content
    )
    assert b"tell nobody" not in shown
    block = Block.objects.get()
    assert b"tell nobody" not in bytes(block.sealed)
    assert unseal(block.workspace_id, block.sealed) == {"value": "tell nobody"}


def test_a_block_is_replaced_only_if_told(editor: Caller) -> None:
    editor.post("/api/blocks/", SECRET)
    assert editor.post("/api/blocks/", SECRET).status_code == 409

    again = editor.post("/api/blocks/", {**SECRET, "document": {"value": "new"}, "overwrite": True})

    assert again.status_code == 200
    block = Block.objects.get()
    assert unseal(block.workspace_id, block.sealed) == {"value": "new"}


def test_another_workspace_cannot_unseal(workspace: Workspace, elsewhere: Workspace) -> None:
    with pytest.raises(UnreadableError, match="another secret key"):
        unseal(elsewhere.id, seal(workspace.id, {"value": 1}))


def test_an_old_secret_key_still_opens_what_it_sealed(workspace: Workspace, settings: Any) -> None:
    sealed = seal(workspace.id, {"value": 1})
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another-secret-key-of-at-least-fifty-characters-long"

    assert unseal(workspace.id, sealed) == {"value": 1}
