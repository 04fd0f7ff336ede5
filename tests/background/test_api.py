"""The API of background tasks: who may do what, and what is refused."""

from base64 import b64encode
from typing import Any
from uuid import UUID, uuid4

import pytest

from agents.models import WorkQueue
from flows.sdk.sealing import answer_name, call_name
from runs.models import Errand, TaskRun
from runs.results import signer_of
from tests.factories import default_workspace
from tests.portal.fixtures import Caller

pytestmark = pytest.mark.django_db

PATH = "/api/background_tasks"


def signed(name: str, content: bytes) -> str:
    """As a client with the workspace's keys does."""
    return b64encode(signer_of(default_workspace().id).sign(name, content)).decode()


def call(**values: Any) -> dict[str, Any]:
    id = uuid4()
    content = signed(call_name(id), b"opaque")
    return {"id": str(id), "task_key": "shop.send", "name": "send-1", "content": content, **values}


def claimed(caller: Caller, holder: str) -> Any:
    body = {"holder": holder, "worker": "a worker", "task_keys": ["shop.send"]}
    return caller.post(f"{PATH}/claim", body).json()["task"]


def ended(number: int) -> dict[str, Any]:
    when = "2026-01-02T03:04:05Z"
    return {
        "id": str(uuid4()), "type": "COMPLETED", "name": "Completed", "message": "", "timestamp": when,
        "sequence": number, "run_count": 1, "start_time": when, "end_time": when, "total_run_time": 0.5,
    }  # fmt: skip


def test_a_task_from_hand_to_hand(editor: Caller, operator: Caller) -> None:
    new = call()
    assert [editor.post(f"{PATH}/", new).status_code for _ in range(2)] == [201, 200]
    assert operator.get(f"{PATH}/{new['id']}").json()["state"]["name"] == "Scheduled"
    holder = str(uuid4())
    taken = claimed(editor, holder)
    assert (taken["id"], taken["content"]) == (new["id"], new["content"])
    assert claimed(editor, str(uuid4())) is None
    assert editor.post(f"{PATH}/renew", {"holder": holder, "ids": [new["id"]]}).json() == {
        "held": [new["id"]]
    }
    answer = {
        "holder": holder,
        "states": [ended(1)],
        "content": signed(answer_name(UUID(new["id"])), b"result"),
    }
    assert editor.post(f"{PATH}/{new['id']}/report", answer).json() == {"held": True}
    assert operator.get(f"{PATH}/{new['id']}").json()["state"]["type"] == "COMPLETED"
    result = operator.get(f"{PATH}/{new['id']}/result").json()["content"]
    assert result == answer["content"]


def test_a_call_must_be_signed_for_its_own_id(editor: Caller) -> None:
    refused = editor.post(f"{PATH}/", call(content=signed(call_name(uuid4()), b"opaque")))
    assert refused.status_code == 422
    assert "not signed with a key of this workspace" in refused.json()["detail"]
    assert not Errand.objects.exists()


def test_a_result_must_be_signed(editor: Caller) -> None:
    new = call()
    editor.post(f"{PATH}/", new)
    holder = str(uuid4())
    claimed(editor, holder)
    answer = {"holder": holder, "states": [ended(1)], "content": b64encode(b"result").decode()}
    assert editor.post(f"{PATH}/{new['id']}/report", answer).status_code == 422
    assert TaskRun.objects.get(id=new["id"]).state_type == "SCHEDULED"


def test_who_lost_a_task_is_not_heard(editor: Caller) -> None:
    new = call()
    editor.post(f"{PATH}/", new)
    claimed(editor, str(uuid4()))
    answer = {"holder": str(uuid4()), "states": [ended(1)]}
    assert editor.post(f"{PATH}/{new['id']}/report", answer).json() == {"held": False}
    assert TaskRun.objects.get(id=new["id"]).state_type == "SCHEDULED"


def test_code_is_handed_in_and_taken_by_editors(editor: Caller, operator: Caller, viewer: Caller) -> None:
    new = call()
    editor.post(f"{PATH}/", new)
    holder = {"holder": str(uuid4()), "worker": "w", "task_keys": ["shop.send"]}
    for caller in (operator, viewer):
        assert caller.post(f"{PATH}/", call()).status_code == 403
        assert caller.post(f"{PATH}/claim", holder).status_code == 403
    assert viewer.get(f"{PATH}/{new['id']}/result").status_code == 403
    assert viewer.post(f"{PATH}/{new['id']}/cancel").status_code == 403
    assert operator.post(f"{PATH}/{new['id']}/cancel").json() == {"cancelled": True}


def test_strangers_get_nothing(editor: Caller, foreigner: Caller) -> None:
    new = call()
    editor.post(f"{PATH}/", new)
    assert claimed(foreigner, str(uuid4())) is None
    assert foreigner.get(f"{PATH}/{new['id']}").status_code == 404
    assert foreigner.get(f"{PATH}/{new['id']}/result").status_code == 404
    assert foreigner.get(f"/api/task_runs/{new['id']}").status_code == 404
    assert editor.get(f"/api/task_runs/{new['id']}").status_code == 200


@pytest.mark.parametrize(
    ("field", "value"),
    [("content", "not base64!"), ("queue", "no-such-workspace/default/default"), ("id", "1"), ("name", "")],
)
def test_bad_input(editor: Caller, field: str, value: str) -> None:
    refused = editor.post(f"{PATH}/", call(**{field: value}))
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"] == field


def test_a_queue_of_another_workspace_is_refused(editor: Caller, foreigner: Caller) -> None:
    assert editor.post(f"{PATH}/", call(queue="elsewhere/default/mine")).status_code == 422
    assert not Errand.objects.exists()
    assert not WorkQueue.objects.filter(name="mine").exists()


def test_a_failed_task_is_retried_and_no_other(editor: Caller, operator: Caller, viewer: Caller) -> None:
    new = call()
    editor.post(f"{PATH}/", new)
    path = f"{PATH}/{new['id']}/retry"
    assert viewer.post(path).status_code == 403
    assert operator.post(path).json() == {"retried": False}
    holder = str(uuid4())
    claimed(editor, holder)
    failed = {**ended(1), "type": "FAILED", "name": "Failed"}
    content = signed(answer_name(UUID(new["id"])), b"error")
    editor.post(f"{PATH}/{new['id']}/report", {"holder": holder, "states": [failed], "content": content})

    assert operator.post(path).json() == {"retried": True}

    assert operator.get(f"{PATH}/{new['id']}").json()["state"]["type"] == "SCHEDULED"
    assert claimed(editor, str(uuid4()))["content"] == new["content"]


def test_the_bell_rings_at_once_for_what_waits(editor: Caller, viewer: Caller) -> None:
    body = {"task_keys": ["shop.send"]}
    assert viewer.post(f"{PATH}/bell", body).status_code == 403
    editor.post(f"{PATH}/", call())

    assert editor.post(f"{PATH}/bell", body).json() == {"rung": True}


def test_a_bell_that_does_not_ring_ends(editor: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portal.api.background_tasks.BELL_SECONDS", 0.2)
    editor.post(f"{PATH}/", call(task_key="shop.other"))

    assert editor.post(f"{PATH}/bell", {"task_keys": ["shop.send"]}).json() == {"rung": False}
