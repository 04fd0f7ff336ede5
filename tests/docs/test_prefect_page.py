"""The examples of docs/prefect.md: requests are sent, and Prefect's client runs the script, as they stand."""

import json
import re

import pytest

from flows.models import Workspace
from flows.sdk.states import StateType
from runs.models import FlowRun
from tests.factories import make_deployment, make_queue, make_run
from tests.portal.fixtures import Caller, editor, workspace
from tests.prefect.client import PrefectClient
from tests.prefect.conftest import prefect_client
from tests.processes import PROJECT

__all__ = ["editor", "prefect_client", "workspace"]
PAGE = (PROJECT / "docs" / "prefect.md").read_text()


def blocks(fence: str) -> list[str]:
    return re.findall(rf"(?ms)^```{fence}\n(.*?)^```$", PAGE)


@pytest.mark.django_db
def test_every_request_is_understood(editor: Caller, workspace: Workspace) -> None:
    run = make_run(make_deployment(queue=make_queue(workspace=workspace)))
    headers = {"authorization": f"Bearer {editor.token}"}
    [block] = blocks("http")
    for line in block.splitlines():
        method, path, body = f"{line} ".split(" ", 2)
        path = path.replace("{run}", str(run.id))
        data = "" if method == "GET" else json.dumps(json.loads(body))
        answer = editor.client.generic(method, path, data, content_type="application/json", headers=headers)
        assert answer.status_code < 300, (line, answer.content)
    run.refresh_from_db()
    assert run.state_type == StateType.CANCELLED.value


@pytest.mark.processes
def test_the_script_runs(prefect_client: PrefectClient) -> None:
    [script] = blocks("python prefect")
    (prefect_client.folder / "script.py").write_text(script)

    prefect_client.run("script.py")

    assert FlowRun.objects.get().state_name == "Completed"
