"""The examples of docs/work-pools.md: requests are sent, and code runs, as they stand there."""

import json
import re
from pathlib import Path

import pytest

from flows.models import Deployment, Workspace
from runs.models import FlowRun
from tests.docs.test_snippets import run
from tests.factories import make_deployment, make_queue, make_run
from tests.portal.fixtures import Caller, editor, workspace
from tests.processes import PROJECT

__all__ = ["editor", "workspace"]
PAGE = (PROJECT / "docs" / "work-pools.md").read_text()


def blocks(fence: str) -> list[str]:
    return re.findall(rf"(?ms)^```{fence}\n(.*?)^```$", PAGE)


def test_every_request_is_understood(editor: Caller, workspace: Workspace) -> None:
    deployment = make_deployment(queue=make_queue(workspace=workspace))
    known = {"{deployment}": str(deployment.id), "{run}": str(make_run(deployment).id)}
    lines = [line for block in blocks("http") for line in block.splitlines()]
    assert len(lines) > 10
    for line in lines:
        method, path, body = f"{line} ".split(" ", 2)
        for word, id in known.items():
            path = path.replace(word, id)
        send = getattr(editor.client, method.lower())
        headers = {"authorization": f"Bearer {editor.token}"}
        data = json.loads(body) if body.strip() else {}
        answer = (
            send(path, data, headers=headers)
            if method == "GET"
            else send(path, data, content_type="application/json", headers=headers)
        )
        assert answer.status_code < 300, (line, answer.content)


@pytest.mark.parametrize("snippet", blocks("python"))
def test_the_code_runs(snippet: str, tmp_path: Path) -> None:
    run(snippet, tmp_path)


def test_a_change_of_the_deployment_while_its_run_waits(workspace: Workspace) -> None:
    """What the page says: the run keeps its queue and parameters; the code is that of the claim."""
    from agents.claim import claim
    from agents.registry import Identity, beat
    from runs.session import DjangoSession

    old, new = make_queue("old", workspace=workspace), make_queue("new", workspace=workspace)
    deployment = make_deployment(queue=old, parameters={"year": 1962}, concurrency_limit=0)
    waiting = make_run(deployment)
    changed = {
        "work_queue": new,
        "parameters": {"year": 2020},
        "entrypoint": "new.py:etl",
        "version_number": 2,
    }
    Deployment.objects.update(**changed, concurrency_limit=None)
    identity = Identity(name="agent", queue_ids=())
    beat(DjangoSession(), identity)

    assert claim(DjangoSession(), identity.id, [new.id]) is None
    claimed = claim(DjangoSession(), identity.id, [old.id])

    assert claimed is not None
    assert (claimed.run.id, claimed.run.parameters) == (waiting.id, {"year": 1962})
    assert claimed.entrypoint == "new.py:etl"
    assert FlowRun.objects.get(id=waiting.id).deployment_version == 2
