"""What processes report over the API: with a user's token, and with the token of one run."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from agents.services.reaper import end_expired
from flows.models import Workspace
from flows.sdk.ids import uuid7
from flows.sdk.recorder import NewArtifact, NewFlowRun, TaskRunEvent
from flows.sdk.states import Completed, Failed, Running, State
from flows.sdk.wire import (
    artifact_as_json,
    encoded,
    event_as_json,
    new_run_as_json,
    state_as_json,
)
from runs.logs import of_run
from runs.models import Artifact, FlowRun, TaskRun
from runs.models.flow_run import FlowRunState
from runs.run_tokens import make_run_token
from tests.factories import lease, make_run
from tests.portal.fixtures import Caller, caller_as

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(operator: Caller) -> FlowRun:
    """The run of a script, which keeps its lease itself."""
    return create(operator)


def create(caller: Caller, **more: Any) -> FlowRun:
    body = {"flow_name": "nightly", "parameters": {"year": 1962}, "lease_seconds": 60, **more}
    answer = caller.post("/api/flow_runs/", body)
    assert answer.status_code == 201, answer.content
    return FlowRun.objects.get(id=answer.json()["id"])


def report(caller: Caller, run: FlowRun, attempt: int = 1, **more: Any) -> Any:
    body = encoded({"attempt": attempt, "lease_seconds": 60, **more})
    return caller.client.post(
        f"/api/flow_runs/{run.id}/report",
        body,
        content_type="application/json",
        headers={"authorization": f"Bearer {caller.token}"},
    )


def proposal(run: FlowRun, state: State) -> dict[str, Any]:
    return {"run_id": run.id, "state": state_as_json(state)}


def event(run: FlowRun, state: State, task_run_id: Any = None) -> dict[str, Any]:
    return event_as_json(TaskRunEvent(task_run_id or uuid7(), run.id, "load", "0", "load-0", state, 1))


def line(run: FlowRun, message: str) -> dict[str, Any]:
    fields = {"flow_run_id": run.id, "timestamp": datetime.now(UTC), "level": 20, "logger": "flows.flow_runs"}
    return {"id": uuid7(), "line": {**fields, "task_run_id": None, "message": message}}


def test_a_script_creates_its_run(run: FlowRun, operator: Caller) -> None:
    assert (run.flow.name, run.state_type, run.attempt) == ("nightly", "PENDING", 1)
    assert run.parameters == {"year": 1962}
    assert run.lease_expires is not None
    assert run.created_by is not None and run.created_by["display_value"] == "operator-default"


def test_creating_it_again_finds_it(run: FlowRun, operator: Caller, foreigner: Caller) -> None:
    body = {"flow_name": "nightly", "id": str(run.id), "lease_seconds": 60}

    assert operator.post("/api/flow_runs/", body).status_code == 200
    assert foreigner.post("/api/flow_runs/", body).status_code == 409
    assert FlowRun.objects.count() == 1


def test_who_only_looks_cannot_create(viewer: Caller) -> None:
    assert viewer.post("/api/flow_runs/", {"flow_name": "nightly"}).status_code == 403


@pytest.mark.parametrize(
    "wrong",
    [{"flow_name": None}, {"parameters": []}, {"lease_seconds": 1}, {"lease_seconds": "soon"}, {"id": "7"}],
)
def test_a_bad_create_is_a_422_that_names_the_field(operator: Caller, wrong: dict[str, Any]) -> None:
    refused = operator.post("/api/flow_runs/", {"flow_name": "nightly", **wrong})

    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"] == next(iter(wrong))


def test_a_report_is_written_whole(run: FlowRun, operator: Caller) -> None:
    table = NewArtifact(uuid7(), run.id, None, "table", "rain", "", [{"mm": 3.5}])

    answer = report(
        operator,
        run,
        events=[event(run, Running())],
        logs=[line(run, "hello \x00 \ud800")],
        artifacts=[artifact_as_json(table)],
        proposal=proposal(run, Running()),
    )

    assert answer.status_code == 200
    assert answer.json()["verdict"]["status"] == "ACCEPT"
    assert TaskRun.objects.get(flow_run=run).state_type == "RUNNING"
    assert [entry.message for entry in of_run(run)] == ["hello \ufffd ?"]
    assert Artifact.objects.get(flow_run=run).data == [{"mm": 3.5}]
    run.refresh_from_db()
    assert run.state_type == "RUNNING"


def test_a_report_that_is_sent_twice_changes_nothing(run: FlowRun, operator: Caller) -> None:
    report(operator, run, proposal=proposal(run, Running()))
    last: dict[str, Any] = {
        "events": [event(run, Completed())],
        "logs": [line(run, "done")],
        "proposal": proposal(run, Completed()),
    }

    answers = [report(operator, run, **last).json() for _ in range(2)]

    assert [answer["verdict"]["status"] for answer in answers] == ["ACCEPT", "ACCEPT"]
    assert FlowRunState.objects.filter(flow_run=run, type="COMPLETED").count() == 1
    assert TaskRun.objects.filter(flow_run=run).count() == len(of_run(run)) == 1


def test_a_subflow_begins_with_a_report(run: FlowRun, operator: Caller) -> None:
    child = NewFlowRun(uuid7(), "child", "brave-child", {"n": 1}, parent_run_id=run.id)

    report(operator, run, begin=new_run_as_json(child))
    begun = FlowRun.objects.get(id=child.id)
    answer = report(operator, run, proposal=proposal(begun, Running()))

    assert (begun.flow.name, begun.root_run_id) == ("child", run.id)
    assert answer.json()["verdict"]["status"] == "ACCEPT"


def test_reports_keep_the_run_alive_and_silence_ends_it(run: FlowRun, operator: Caller) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=30)
    FlowRun.objects.filter(id=run.id).update(lease_expires=soon - timedelta(seconds=1))

    report(operator, run)
    assert end_expired(soon) == 0
    assert end_expired(soon + timedelta(seconds=60)) == 1

    run.refresh_from_db()
    assert run.state_type == "CRASHED"
    assert run.state_message.startswith("The process that ran this script stopped reporting")
    assert report(operator, run).status_code == 409


def test_the_process_learns_that_its_run_is_cancelled(run: FlowRun, operator: Caller) -> None:
    assert report(operator, run, proposal=proposal(run, Running())).json()["cancelling"] is False

    operator.post(f"/api/flow_runs/{run.id}/cancel")

    assert report(operator, run).json()["cancelling"] is True


def test_another_attempt_is_refused(run: FlowRun, operator: Caller) -> None:
    refused = report(operator, run, attempt=2, logs=[line(run, "late")])

    assert refused.status_code == 409
    assert "attempt 2 no longer owns" in refused.json()["detail"]
    assert list(of_run(run)) == []


def test_a_report_speaks_of_its_own_run_only(run: FlowRun, operator: Caller) -> None:
    other = create(operator)
    theirs = uuid7()
    report(operator, other, events=[event(other, Running(), theirs)])

    for stolen in (
        {"events": [event(other, Completed())]},
        {"events": [event(run, Failed(), theirs)]},
        {"logs": [line(other, "false")]},
        {"proposal": proposal(other, Completed())},
        {"begin": new_run_as_json(NewFlowRun(uuid7(), "x", "x", {}, parent_task_run_id=theirs))},
    ):
        refused = report(operator, run, **stolen)
        assert refused.status_code == 422
        assert "is no part of flow run" in refused.json()["detail"]
    assert TaskRun.objects.get().state_type == "RUNNING"


@pytest.mark.parametrize(
    "body",
    [
        {"attempt": "x"},
        {"events": [{}]},
        {"logs": 7},
        {"lease_seconds": 1},
        {"proposal": {"run_id": "7"}},
    ],
)
def test_a_bad_report_is_a_422(run: FlowRun, operator: Caller, body: dict[str, Any]) -> None:
    assert report(operator, run, **body).status_code == 422


@pytest.mark.parametrize("when", ["soon", 7, "2026-01-01", ["x"]])
def test_a_bad_time_is_a_422(run: FlowRun, operator: Caller, when: Any) -> None:
    state = State(Running().type, details={"scheduled_time": when})

    assert report(operator, run, proposal=proposal(run, state)).status_code == 422


def test_what_is_not_json_is_a_422(run: FlowRun, operator: Caller) -> None:
    for body in (b"", b"{", b"\xff", b"[" * 100_000):
        answer = operator.client.post(
            f"/api/flow_runs/{run.id}/report",
            body,
            content_type="application/json",
            headers={"authorization": f"Bearer {operator.token}"},
        )
        assert answer.status_code == 422


def test_only_who_may_run_things_reports(run: FlowRun, viewer: Caller, foreigner: Caller) -> None:
    assert report(viewer, run).status_code == 403
    assert report(foreigner, run).status_code == 404


# The token of one run


@pytest.fixture
def claimed(workspace: Workspace) -> FlowRun:
    """A run that an agent owns, as attempt 3, and executes in an isolated process."""
    return lease(make_run(), attempt=3)


def process_of(run: FlowRun, attempt: int = 3, lifetime: timedelta = timedelta(hours=1)) -> Caller:
    return Caller(make_run_token(run.id, attempt, lifetime), Client(raise_request_exception=True))


def test_a_run_reports_with_its_own_token(claimed: FlowRun) -> None:
    process = process_of(claimed)

    assert report(process, claimed, proposal=proposal(claimed, Running())).status_code == 200
    done = report(process, claimed, logs=[line(claimed, "hi")], proposal=proposal(claimed, Completed()))

    assert done.json()["verdict"]["status"] == "ACCEPT"
    claimed.refresh_from_db()
    assert claimed.state_type == "COMPLETED"


def test_the_token_ends_with_the_run(claimed: FlowRun) -> None:
    process = process_of(claimed)
    report(process, claimed, proposal=proposal(claimed, Running()))
    report(process, claimed, proposal=proposal(claimed, Completed()))

    again = report(process, claimed, proposal=proposal(claimed, Failed()))
    late = report(process, claimed, events=[event(claimed, Failed())])

    assert again.json()["verdict"]["status"] == "ABORT"
    assert late.status_code == 409
    assert not TaskRun.objects.exists()


def test_hooks_may_log_for_a_minute_after_the_end(claimed: FlowRun) -> None:
    process = process_of(claimed)
    report(process, claimed, proposal=proposal(claimed, Running()))
    report(process, claimed, proposal=proposal(claimed, Completed()))

    assert report(process, claimed, logs=[line(claimed, "by a hook")]).status_code == 200
    FlowRun.objects.filter(id=claimed.id).update(end_time=datetime.now(UTC) - timedelta(seconds=61))
    assert report(process, claimed, logs=[line(claimed, "too late")]).status_code == 409

    assert [entry.message for entry in of_run(claimed)] == ["by a hook"]


def test_the_token_ends_with_its_attempt(claimed: FlowRun) -> None:
    FlowRun.objects.filter(id=claimed.id).update(attempt=4)

    for attempt in (3, 4):  # what the body claims does not matter
        assert report(process_of(claimed), claimed, attempt=attempt).status_code == 409


def test_the_token_touches_no_other_run(claimed: FlowRun, run: FlowRun) -> None:
    process = process_of(claimed)

    assert report(process, run).status_code == 404
    assert report(process, claimed, proposal=proposal(run, Failed())).status_code == 422
    assert report(process, claimed, logs=[line(run, "false")]).status_code == 422


def test_a_token_that_expired_or_was_changed_opens_nothing(claimed: FlowRun) -> None:
    expired = process_of(claimed, lifetime=timedelta(seconds=-1))
    good = process_of(claimed).token
    changed = Caller(good[:-2] + ("AA" if not good.endswith("AA") else "BB"), Client())

    for process in (expired, changed, Caller("portal_run_", Client())):
        refused = report(process, claimed)
        assert refused.status_code == 401
        assert "token is not valid" in refused.json()["detail"]


def test_a_token_of_a_run_that_is_gone(workspace: Workspace) -> None:
    gone = FlowRun(id=uuid4())

    assert report(process_of(gone), gone).status_code == 409


def test_ordinary_tokens_still_work_where_run_tokens_do(run: FlowRun, workspace: Workspace) -> None:
    assert report(caller_as("editor", workspace), run).status_code == 200
