"""All that flow code may ask of its server, over HTTP: by scripts with an API key, and by the process of an
isolated run with its own token."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from flows.models import Variable
from flows.sdk.states import StateType
from runs.models import Artifact, ConcurrencyLimit, Event, FlowRun, Result, RunInput
from runs.resume import resume
from runs.run_tokens import make_run_token
from runs.session import DjangoSession
from tests.factories import default_workspace, lease, make_deployment, make_queue, make_run
from tests.processes import wait_until
from tests.scripts.conftest import Server

pytestmark = pytest.mark.processes

FILE = Path(__file__).with_name("remote.py")
AROUND = Path(__file__).parents[1] / "around"
Start = Callable[..., "subprocess.Popen[str]"]


def new_run() -> FlowRun:
    """A run that no agent of the default queue takes."""
    return make_run(make_deployment(f"isolated-{uuid4()}", queue=make_queue("isolated")))


def output_of(script: "subprocess.Popen[str]", timeout: float = 60) -> str:
    return script.communicate(timeout=timeout)[0]


@pytest.fixture(params=["script", "isolated"])
def start(request: pytest.FixtureRequest, server: Server) -> Start:
    """Starts a flow of `remote.py`, as a script or as the isolated process of a run."""

    def isolated(flow: str, run: FlowRun | None = None) -> "subprocess.Popen[str]":
        run = lease(run or new_run(), attempt=(run.attempt if run else 0) + 1, seconds=600)
        known = {"RUN_ID": str(run.id), "ATTEMPT": str(run.attempt)}
        token = make_run_token(run.id, run.attempt)
        return server.script(flow, FILE, PORTAL_API_KEY=token, **known)

    return isolated if request.param == "isolated" else lambda flow: server.script(flow, FILE)


def the_run() -> FlowRun:
    return FlowRun.objects.get(root_run=None)


def test_variables_blocks_limits_events_and_artifacts(start: Start) -> None:
    limits = {"database": 0.0, "calls": 5.0}
    for name, decay in limits.items():
        ConcurrencyLimit.objects.create(
            workspace=default_workspace(), name=name, limit=1, slot_decay_per_second=decay
        )

    assert "result: Oslo s3cret True None" in output_of(start("around"))

    assert the_run().state_type == "COMPLETED"
    assert not Variable.objects.exists()
    assert Event.objects.filter(event="order.paid").count() == 1
    assert Artifact.objects.get().data == "# done"


def test_a_person_answers(start: Start) -> None:
    script = start("asks")
    wait_until(lambda: FlowRun.objects.filter(state_type="PAUSED").exists())

    verdict = resume(DjangoSession(), the_run().id, {"approved": True}, {"display_value": "ada"})

    assert verdict.state is not None and verdict.state.type is StateType.RUNNING
    assert "result: approved=True" in output_of(script)


def test_values_are_sent_and_received(start: Start) -> None:
    assert "result: hello" in output_of(start("talks"))

    assert RunInput.objects.get().value == '"hello"'


def test_a_result_is_computed_once_by_all_who_want_it_at_once(start: Start, server: Server) -> None:
    scripts = [start("cached") for _ in range(3)]

    assert all("result: 2" in output_of(script) for script in scripts)
    assert len((server.folder / "computed").read_text().split()) == 1
    assert "result: 2" in output_of(start("cached"))
    assert len((server.folder / "computed").read_text().split()) == 1


def test_the_record_of_a_transaction_is_found_again(start: Start) -> None:
    assert "result: computed" in output_of(start("transacted"))
    assert "result: found computed" in output_of(start("transacted"))


def test_a_deployment_is_run_and_its_result_fetched(start: Start, server: Server) -> None:
    make_deployment("prod", "double", path=str(AROUND), entrypoint="flow_file.py:double")
    server.agent()

    assert "result: Completed 42" in output_of(start("starts"))


@pytest.mark.parametrize("start", ["isolated"], indirect=True)
def test_the_next_attempt_goes_on_where_the_process_died(start: Start, server: Server) -> None:
    run = new_run()
    assert "result" not in output_of(start("replayed", run))

    run.refresh_from_db()
    assert "result: 22" in output_of(start("replayed", run))

    assert (server.folder / "unasked").read_text() == "xy"


@pytest.mark.parametrize("start", ["isolated"], indirect=True)
def test_what_an_isolated_process_returns_is_kept(start: Start) -> None:
    assert "result: {'a': 1}" in output_of(start("answers"))

    assert Result.objects.get().flow_run == the_run()


def test_a_server_that_restarts_is_waited_for(start: Start, server: Server) -> None:
    script = start("asks")
    wait_until(lambda: FlowRun.objects.filter(state_type="PAUSED").exists())

    server.process.kill()
    resume(DjangoSession(), the_run().id, {"approved": False}, {})
    server.start()

    assert "result: approved=False" in output_of(script)
    assert the_run().state_type == "COMPLETED"


def test_who_may_not_deploy_keeps_results_to_themselves(server: Server) -> None:
    output = output_of(server.script("cached", FILE, PORTAL_API_KEY=server.key_of("operator")))

    assert "result: 2" in output
    assert "Results are kept in this process only" in output
    assert not Result.objects.exists()
