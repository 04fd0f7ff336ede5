"""The examples of docs/isolation.md: requests are sent as they stand there."""

import json
import re

from agents.isolated_process import HANDED_DOWN
from agents.models import WorkPool
from flows.models import Deployment, Workspace
from tests.portal.fixtures import Caller, editor, workspace
from tests.processes import PROJECT

__all__ = ["editor", "workspace"]
PAGE = (PROJECT / "docs" / "isolation.md").read_text()


def test_every_request_is_understood(editor: Caller, workspace: Workspace) -> None:
    [block] = re.findall(r"(?ms)^```http\n(.*?)^```$", PAGE)
    headers = {"authorization": f"Bearer {editor.token}"}
    for line in block.splitlines():
        method, path, body = line.split(" ", 2)
        send = getattr(editor.client, method.lower())
        answer = send(path, json.loads(body), content_type="application/json", headers=headers)
        assert answer.status_code < 300, (line, answer.content)

    pool = WorkPool.objects.get(name="apart")
    assert (pool.type, pool.python, pool.memory_mb) == ("process", "/opt/venvs/etl", None)
    queue = Deployment.objects.get(name="apart").work_queue
    assert queue is not None and queue.work_pool == pool


def test_it_names_what_is_handed_down() -> None:
    [named] = re.findall(r"(?s)Of the agent's environment only\*\* (.*?) and `PORTAL_RESULT_STORAGE`", PAGE)
    assert re.findall(r"`(\w+)`", named) == list(HANDED_DOWN)
