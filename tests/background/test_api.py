"""The API of background tasks: who may do what, and what is refused."""

from base64 import b64decode, b64encode
from typing import Any
from uuid import uuid4

import pytest

from agents.models import WorkQueue
from runs.models import Errand, TaskRun
from tests.portal.fixtures import Caller

pytestmark = pytest.mark.django_db

PATH = "/api/background_tasks"


def call(**values: Any) -> dict[str, Any]:
    content = b64encode(b"opaque").decode()
    return {"id": str(uuid4()), "task_key": "shop.send", "name": "send-1", "content": content, **values}


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
    assert (taken["id"], b64decode(taken["content"])) == (new["id"], b"opaque")
    assert claimed(editor, str(uuid4())) is None
    assert editor.post(f"{PATH}/renew", {"holder": holder, "ids": [new["id"]]}).json() == {
        "held": [new["id"]]
    }
    answer = {"holder": holder, "states": [ended(1)], "content": b64encode(b"result").decode()}
    assert editor.post(f"{PATH}/{new['id']}/report", answer).json() == {"held": True}
    assert operator.get(f"{PATH}/{new['id']}").json()["state"]["type"] == "COMPLETED"
    result = operator.get(f"{PATH}/{new['id']}/result").json()["content"]
    assert b64decode(result) == b"result"


def test_what_is_stored_is_signed(editor: Caller) -> None:
    editor.post(f"{PATH}/", call())
    assert bytes(Errand.objects.get().payload).endswith(b"opaque")
    assert bytes(Errand.objects.get().payload) != b"opaque"


def test_an_altered_call_is_not_given_out(editor: Caller) -> None:
    new = call()
    editor.post(f"{PATH}/", new)
    Errand.objects.update(payload=b"x" * 32 + b"opaque")
    assert claimed(editor, str(uuid4())) is None
    assert TaskRun.objects.get(id=new["id"]).state_type == "CRASHED"


def test_who_lost_a_task_is_not_heard(editor: Caller) -> None:
    new = call()
    editor.post(f"{PATH}/", new)
    claimed(editor, str(uuid4()))
    answer = {"holder": str(uuid4()), "states": [ended(1)], "content": "YQ=="}
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
