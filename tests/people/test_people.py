"""Real agents: flows that pause, are suspended, resumed, cancelled, and talk to each other."""

import pytest

from agents.claim import Lease, look
from flows.scoping import Actor
from flows.sdk.states import Cancelling
from runs.models import Artifact, FlowRunState, TaskRun
from runs.resume import suspended_by
from runs.session import DjangoSession
from runs.transition import transition
from tests.faults.conftest import is_alive
from tests.people.conftest import Stage
from tests.processes import wait_until

pytestmark = pytest.mark.processes


def test_a_paused_process_waits_and_goes_on(stage: Stage) -> None:
    stage.agent()
    run = stage.reached(stage.create("release"), "Paused")
    process = run.infrastructure_pid

    stage.resume(run, approved=True, copies=3)

    stage.reached(run, "Completed")
    assert stage.done() == ["began", "approved=True copies=3 comment="]
    assert (run.infrastructure_pid, run.attempt, run.run_count) == (process, 1, 1)


def test_a_suspended_run_needs_no_agent_and_goes_on_in_another_process(stage: Stage) -> None:
    first = stage.agent()
    run = stage.reached(stage.create("leave"), "Suspended")
    first.stop()
    assert look(DjangoSession(), run.id, 1) is Lease.LOST
    assert TaskRun.objects.get(flow_run=run).state_name == "Completed"

    stage.resume(run, approved=True)
    stage.agent()

    stage.reached(run, "Completed")
    assert stage.done() == ["began", "prepared", "began", "approved=True"]
    assert (run.attempt, run.run_count) == (2, 1)
    names = FlowRunState.objects.filter(flow_run=run).order_by("timestamp").values_list("name", flat=True)
    assert list(names) == [
        "Scheduled", "Pending", "Running", "Suspended", "Resuming", "Pending", "Running", "Completed",
    ]  # fmt: skip


def test_a_busy_run_is_suspended_by_somebody_and_its_process_ends(stage: Stage) -> None:
    stage.agent()
    run = stage.reached(stage.create("busy"), "Running")
    wait_until(lambda: stage.done() == ["began"])
    process = int(run.infrastructure_pid)

    alice = Actor(user_id=1, name="alice")
    transition(DjangoSession(), run.id, suspended_by(alice, timeout=None))

    wait_until(lambda: not is_alive(process), what="its process ends")
    (stage.stack.folder / "go").touch()
    stage.resume(run)
    stage.reached(run, "Completed")
    assert stage.done() == ["began", "began"]


def test_an_async_flow_pauses_and_is_suspended(stage: Stage) -> None:
    stage.agent()
    run = stage.reached(stage.create("release_async"), "Paused")

    stage.resume(run, approved=True)
    stage.reached(run, "Suspended")
    stage.resume(run)

    stage.reached(run, "Completed")
    assert stage.done() == ["approved=True", "approved=True", "released=True"]


def test_nobody_resumes(stage: Stage) -> None:
    stage.agent()
    run = stage.reached(stage.create("impatient"), "Failed")

    assert "nobody resumed it in time" in run.state_message


def test_a_paused_run_is_cancelled(stage: Stage) -> None:
    stage.agent()
    run = stage.reached(stage.create("release"), "Paused")

    transition(DjangoSession(), run.id, Cancelling())

    stage.reached(run, "Cancelled")


def test_a_run_resumes_another(stage: Stage) -> None:
    stage.agent()
    stage.agent()
    waiting = stage.reached(stage.create("release"), "Paused")
    resuming = stage.create("approve", run_id=str(waiting.id))

    stage.reached(resuming, "Completed")
    stage.reached(waiting, "Completed")
    assert stage.done()[-1] == "approved=True copies=1 comment=by a run"
    resumed = FlowRunState.objects.get(flow_run=waiting, state_details__has_key="resumed_by")
    assert resumed.state_details["resumed_by"]["id"] == str(resuming.id)


def test_runs_send_each_other_values(stage: Stage) -> None:
    stage.agent()
    stage.agent()
    listening = stage.reached(stage.create("listen"), "Running")
    stage.reached(stage.create("speak", run_id=str(listening.id)), "Completed")

    stage.reached(listening, "Completed")
    assert stage.done() == ["listening", "heard hello world"]


def test_a_run_uses_variables_secrets_its_surroundings_and_artifacts(stage: Stage) -> None:
    stage.agent()
    run = stage.reached(stage.create("around"), "Completed")

    assert stage.done() == ["hello nothing", "tell nobody", "v7 default/default"]
    artifacts = {each.key: each for each in Artifact.objects.filter(flow_run=run)}
    assert (artifacts["progress"].data, artifacts["progress"].description) == (50, "half way")
    assert artifacts["link"].data == "[the report](<https://example.com/report>)"
    assert {each.type for each in artifacts.values()} == {"markdown", "image", "progress"}
