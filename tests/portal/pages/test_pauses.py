"""What the run page offers for a paused run, and what its buttons do."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from flows.models import Workspace
from flows.sdk.backend import SentInput
from flows.sdk.states import Paused, Running, Suspended
from portal.pages.artifacts import exhibit_of
from portal.pages.markdown import as_html
from runs.inputs import put_input, read_input
from runs.models import Artifact, FlowRun
from runs.session import DjangoSession
from runs.transition import transition
from tests.factories import lease
from tests.portal.pages.test_flow_run import changes, client_as, url

pytestmark = pytest.mark.django_db

SCHEMA = {
    "type": "object",
    "properties": {
        "approved": {"type": "boolean"},
        "copies": {"type": "integer", "minimum": 1, "default": 1},
        "day": {"type": "string", "format": "date"},
        "level": {"enum": ["low", "high"]},
    },
    "required": ["copies"],
}
KEYS = {name: f"paused-1-{name}" for name in ("schema", "description", "response")}


@pytest.fixture
def operator_client(workspace: Workspace) -> Client:
    return client_as("operator", workspace)


@pytest.fixture
def run(new_run: Callable[..., FlowRun]) -> FlowRun:
    """Paused, and asking."""
    run = lease(new_run(name="spry-anteater"))
    with DjangoSession().transaction() as tx:
        put_input(tx, run.id, SentInput(KEYS["schema"], SCHEMA))
        put_input(tx, run.id, SentInput(KEYS["description"], "Is **this** right? <script>x</script>"))
    transition(DjangoSession(), run.id, Running(), attempt=1)
    details = {"pause_key": "1", "run_input_keyset": KEYS}
    transition(DjangoSession(), run.id, Paused(details=details), attempt=1)
    return run


def given(run: FlowRun) -> Any:
    with DjangoSession().transaction() as tx:
        sent = read_input(tx, run.id, KEYS["response"])
    return sent.value if sent else None


def state_of(run: FlowRun) -> str:
    run.refresh_from_db()
    return run.state_name


def test_the_form_has_a_typed_field_for_each_question(operator_client: Client, run: FlowRun) -> None:
    page = operator_client.get(url(run)).content.decode()

    for field in (
        'type="checkbox" name="parameter-approved"',
        'type="number" name="parameter-copies" value="1" min="1"',
        'type="date" name="parameter-day"',
        'select name="parameter-level"',
    ):
        assert field in page
    assert "Is <strong>this</strong> right? &lt;script&gt;x&lt;/script&gt;" in page
    assert "paused until somebody answers it" in page


def test_an_answer_resumes_the_run(operator_client: Client, run: FlowRun) -> None:
    body = {"parameter-approved": "on", "parameter-copies": "2", "parameter-level": '"high"'}

    answer = operator_client.post(url(run, "resume"), body)

    assert answer.status_code == 302
    assert state_of(run) == "Running"
    assert given(run) == {"approved": True, "copies": 2, "level": "high"}
    assert run.state_message == "Resumed by operator-of-default."


def test_a_wrong_answer_comes_back_with_what_is_wrong(operator_client: Client, run: FlowRun) -> None:
    answer = operator_client.post(url(run, "resume"), {"parameter-copies": "0"})

    assert answer.status_code == 200
    page = answer.content.decode()
    assert "greater than or equal to 1" in page
    assert 'id="run-answered"' in page
    assert state_of(run) == "Paused"


def test_the_form_does_not_change_between_two_reads(operator_client: Client, run: FlowRun) -> None:
    first, second = (changes(operator_client, run)["html"]["answer"] for _ in range(2))

    assert "parameter-copies" in first
    assert first == second


def test_a_run_that_asks_nothing_has_a_button_alone(
    operator_client: Client, new_run: Callable[..., FlowRun]
) -> None:
    run = lease(new_run())
    transition(DjangoSession(), run.id, Running(), attempt=1)
    transition(DjangoSession(), run.id, Suspended(details={"pause_key": "1"}), attempt=1)
    assert ">Resume</button>" in operator_client.get(url(run)).content.decode()

    operator_client.post(url(run, "resume"))

    assert state_of(run) == "Resuming"


def test_a_running_run_is_suspended_with_a_button(
    operator_client: Client, new_run: Callable[..., FlowRun]
) -> None:
    run = lease(new_run())
    transition(DjangoSession(), run.id, Running(), attempt=1)
    assert ">Suspend</button>" in operator_client.get(url(run)).content.decode()

    operator_client.post(url(run, "suspend"))

    assert state_of(run) == "Suspended"
    assert run.pause_expires is not None


def test_what_is_not_paused_is_not_resumed(operator_client: Client, new_run: Callable[..., FlowRun]) -> None:
    answer = operator_client.post(url(new_run(), "resume"), follow=True)

    assert "was not resumed: the run is Scheduled, not paused" in answer.content.decode()


def test_a_viewer_has_no_form_and_resumes_nothing(workspace: Workspace, run: FlowRun) -> None:
    viewer = client_as("viewer", workspace)

    assert "parameter-copies" not in viewer.get(url(run)).content.decode()
    assert viewer.post(url(run, "resume"), {"parameter-copies": "1"}).status_code == 403
    assert viewer.post(url(run, "suspend")).status_code == 403
    assert state_of(run) == "Paused"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("# A\n\n**b**", "<h1>A</h1>\n<p><strong>b</strong></p>\n"),
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("[x](javascript:alert(1))", "<p>[x](javascript:alert(1))</p>\n"),
        ("![x](https://example.com/spy.png)", "<p></p>\n"),
        ("| a |\n|---|\n| 1 |", "<table>"),
    ],
)
def test_markdown_is_rendered_without_harm(text: str, shown: str) -> None:
    assert shown in as_html(text)


@pytest.mark.parametrize(
    ("type", "data", "shown"),
    [
        ("markdown", "[the report](<https://example.com/r>)", 'href="https://example.com/r"'),
        ("progress", 50, 'value="50.00"'),
        ("image", "https://example.com/p.png", '<a href="https://example.com/p.png"'),
        ("image", "data:image/png;base64,AAAA", '<img class="run-image" src="data:image/png;base64,AAAA"'),
        ("image", "javascript:alert(1)", "<p>javascript:alert(1)</p>"),
        ("table", "not a table", "<p>not a table</p>"),
    ],
)
def test_artifacts_are_shown(operator_client: Client, run: FlowRun, type: str, data: Any, shown: str) -> None:
    Artifact.objects.create(workspace=run.workspace, flow_run=run, type=type, key="it", data=data)

    assert shown in changes(operator_client, run)["html"]["artifacts"]


def test_an_artifact_is_cut_to_a_page(run: FlowRun) -> None:
    rows = [{"number": number} for number in range(150)]
    artifact = Artifact(workspace=run.workspace, flow_run=run, type="table", data=rows)

    exhibit = exhibit_of(artifact)

    assert (len(exhibit.rows), exhibit.left_out) == (100, 50)
