"""Every snippet of docs/schedules.md is taken as it stands there."""

import json
import re
from typing import Any

import pytest

from flows.models import Schedule
from tests.docs.test_snippets import run
from tests.portal.fixtures import Caller, caller_as, deployment_in
from tests.processes import PROJECT
from tests.scripts.conftest import Server

PAGE = (PROJECT / "docs" / "schedules.md").read_text()


def blocks(fence: str) -> list[str]:
    return re.findall(rf"(?ms)^```{fence}\n(.*?)^```$", PAGE)


@pytest.fixture
def editor(db: None) -> Caller:
    from flows.models import Workspace

    return caller_as("editor", Workspace.objects.get(name="default"))


def test_calendars_and_schedules_are_taken(editor: Caller) -> None:
    from flows.models import Workspace

    deployment = deployment_in(Workspace.objects.get(name="default"))
    given: list[tuple[str, Any]] = [("calendars/", json.loads(each)) for each in blocks("json calendar")]
    route = f"deployments/{deployment.id}/schedules"
    given += [(route, json.loads(each)) for each in blocks("json schedule")]

    answers = [editor.post(f"/api/{path}", body) for path, body in given]

    assert [answer.status_code for answer in answers] == [201] * 4, answers
    assert len(editor.get(f"/api/{route}/preview").json()["results"]) == 20


@pytest.mark.processes
@pytest.mark.parametrize("number", range(2))
def test_snippet_with_a_server(number: int, server: Server) -> None:
    run(blocks("python server")[number], server.folder, PORTAL_API_URL=server.url, PORTAL_API_KEY=server.key)

    assert Schedule.objects.exists()


def test_nothing_else_is_a_snippet() -> None:
    fences = re.findall(r"(?m)^```(.+)$", PAGE)

    assert set(fences) == {"python server", "json calendar", "json schedule"}
    assert fences.count("python server") == 2
