"""Runs that have ended, run once more: over HTTP and by command."""

from collections.abc import Callable
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from flows.sdk.ids import uuid7
from flows.sdk.states import Failed, Pending, Running
from runs.models import FlowRun, TaskRun
from runs.session import DjangoSession
from runs.transition import transition
from tests.portal.fixtures import Caller

pytestmark = pytest.mark.django_db
NewRun = Callable[..., FlowRun]


@pytest.fixture
def failed(new_run: NewRun) -> FlowRun:
    """A run that called `extract` and `load`, and failed."""
    run = new_run()
    for state in (Pending(), Running(), Failed(message="no rain")):
        transition(DjangoSession(), run.id, state)
    for name in ("extract", "load"):
        TaskRun.objects.create(
            id=uuid7(), flow_run=run, task_key=f"work.<locals>.{name}", dynamic_key="0", name=f"{name}-0",
            state_type="COMPLETED", state_name="Completed", state_timestamp=run.created, created=run.created,
        )  # fmt: skip
    run.refresh_from_db()
    return run


def path(run: FlowRun, action: str = "") -> str:
    return f"/api/flow_runs/{run.id}/{action}"


def test_a_failed_run_is_retried(operator: Caller, failed: FlowRun) -> None:
    answer = operator.post(path(failed, "retry"))

    assert answer.status_code == 201
    assert answer.json()["status"] == "ACCEPT"
    assert answer.json()["state"]["name"] == "AwaitingRetry"
    assert answer.json()["state"]["state_details"]["retried_by"]["display_value"] == "operator-default"
    history = operator.get(path(failed, "states")).json()
    assert [state["name"] for state in history] == [
        "Scheduled",
        "Pending",
        "Running",
        "Failed",
        "AwaitingRetry",
    ]


@pytest.mark.parametrize("spelling", ["load", "load-0", "id"])
def test_a_retry_may_begin_at_a_task(operator: Caller, failed: FlowRun, spelling: str) -> None:
    chosen = TaskRun.objects.get(name="load-0").id

    answer = operator.post(
        path(failed, "retry"), {"from_task": str(chosen) if spelling == "id" else spelling}
    )

    assert answer.status_code == 201
    failed.refresh_from_db()
    assert failed.redo_from == chosen
    transition(DjangoSession(), failed.id, Failed(), force=True)
    operator.post(path(failed, "retry"))
    failed.refresh_from_db()
    assert failed.redo_from is None


def test_what_cannot_be_is_said(operator: Caller, viewer: Caller, failed: FlowRun, new_run: NewRun) -> None:
    unknown = operator.post(path(failed, "retry"), {"from_task": "laod"})
    assert unknown.status_code == 422
    assert "The run has no task 'laod'. It called extract, load." in unknown.json()["detail"]
    waiting = operator.post(path(new_run(), "retry"))
    assert waiting.status_code == 409
    assert waiting.json()["detail"] == "This run cannot be retried: it has not ended: it is Scheduled."
    assert viewer.post(path(failed, "retry")).status_code == 403
    assert viewer.post(path(failed, "run_again")).status_code == 403


def test_a_new_run_with_other_parameters(operator: Caller, failed: FlowRun) -> None:
    made = operator.post(path(failed, "run_again"), {"parameters": {"year": 1999}, "name": "second-try"})

    assert made.status_code == 201
    new = made.json()
    assert (new["parameters"], new["name"], new["rerun_of_id"]) == (
        {"year": 1999},
        "second-try",
        str(failed.id),
    )
    assert FlowRun.objects.get(id=new["id"]).result_scope is None


def test_a_new_run_may_take_the_results_of_the_old_one(operator: Caller, failed: FlowRun) -> None:
    new = operator.post(path(failed, "run_again"), {"reuse_results": True}).json()

    assert FlowRun.objects.get(id=new["id"]).result_scope == failed.id


def test_parameters_that_do_not_fit_make_no_run(operator: Caller, failed: FlowRun) -> None:
    refused = operator.post(path(failed, "run_again"), {"parameters": {"year": 1, "town": "Bern"}})

    assert refused.status_code == 409
    assert {error["field"] for error in refused.json()["errors"]} == {"year", "town"}
    FlowRun.objects.filter(id=failed.id).update(deployment=None)
    assert operator.post(path(failed, "run_again")).status_code == 409


def manage(*arguments: str) -> str:
    out = StringIO()
    call_command("runflow", *arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


def test_the_command_retries(failed: FlowRun) -> None:
    said = manage("--retry", str(failed.id), "--from", "load")

    failed.refresh_from_db()
    assert (failed.state_name, failed.redo_from) == ("AwaitingRetry", TaskRun.objects.get(name="load-0").id)
    assert f"/admin/runs/flowrun/{failed.id}/" in said


def test_the_command_makes_a_new_run(failed: FlowRun) -> None:
    manage("--again", str(failed.id), "--param", "year=1999", "--reuse")

    new = FlowRun.objects.exclude(id=failed.id).get()
    assert (new.parameters, new.rerun_of, new.result_scope) == ({"year": 1999}, failed, failed.id)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "one of the arguments FLOW/DEPLOYMENT --retry --again is required"),
        (["--retry", "00000000-0000-0000-0000-000000000000"], "There is nothing here, or you may not see it"),
        (["--retry", "x"], "There is no"),
    ],
)
def test_the_command_says_what_is_wrong(arguments: list[str], text: str) -> None:
    with pytest.raises(CommandError, match=text):
        manage(*arguments)


def test_a_run_is_made_again_once_for_each_key(operator: Caller, failed: FlowRun) -> None:
    first, repeated, other = (
        operator.post(path(failed, "run_again"), {"idempotency_key": key}).json()["id"] for key in "aab"
    )

    assert first == repeated != other
