"""A script with PORTAL_API_URL set, a real server, and what becomes of the script's runs."""

import signal
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from django.db.transaction import atomic

from agents.services.reaper import end_expired
from flows.sdk.states import Cancelling
from runs.logs import of_run
from runs.models import Artifact, FlowRun, TaskRun
from runs.session import DjangoSession
from runs.transition import transition
from tests.processes import wait_until
from tests.scripts.conftest import Server

pytestmark = pytest.mark.processes


def output_of(script: "subprocess.Popen[str]", timeout: float = 30) -> str:
    return script.communicate(timeout=timeout)[0]


def run_of(flow: str) -> FlowRun:
    return FlowRun.objects.get(flow__name=flow)


def half_done(server: Server) -> FlowRun:
    """Wait until the script is in the middle of its flow; its run."""
    wait_until((server.folder / "half").exists)
    return FlowRun.objects.get(root_run=None)


def test_everything_arrives(server: Server) -> None:
    assert "result: 6" in output_of(server.script("report"))

    run, child = run_of("report"), run_of("total")
    assert (run.state_type, run.parameters, run.attempt) == ("COMPLETED", {"size": 3}, 1)
    assert run.lease_expires is None
    assert (child.state_type, child.root_run_id) == ("COMPLETED", run.id)
    doubled = TaskRun.objects.filter(flow_run=child)
    assert [task_run.state_type for task_run in doubled] == ["COMPLETED"] * 3
    assert child.parent_task_run is not None and child.parent_task_run.flow_run_id == run.id
    assert sum("doubling" in line.message for line in of_run(child)) == 3
    assert Artifact.objects.get(flow_run=run).data == [{"total": 6}]
    assert "noted by a hook" in [line.message for line in of_run(run)]  # after the run had ended


def test_a_failure_is_reported_and_raised(server: Server) -> None:
    assert "ValueError: no such year" in output_of(server.script("broken"))

    assert run_of("broken").state_type == "FAILED"
    assert "ValueError: no such year" in run_of("broken").state_message


def test_a_restart_of_the_server_costs_nothing(server: Server) -> None:
    script = server.script("two_halves")
    run = half_done(server)

    server.process.kill()
    (server.folder / "go").touch()
    server.start()

    assert "result: None" in output_of(script)
    run.refresh_from_db()
    assert (run.state_type, run.attempt) == ("COMPLETED", 1)
    task_runs = TaskRun.objects.filter(flow_run=run)
    assert {task_run.state_type for task_run in task_runs} == {"COMPLETED"}
    assert task_runs.count() == 60
    assert sum("doubling" in line.message for line in of_run(run)) == 60


def test_a_killed_script_crashes_when_it_is_silent_for_a_lease(server: Server) -> None:
    script = server.script("hold")
    run = half_done(server)

    script.kill()
    with atomic():
        assert end_expired(datetime.now(UTC) + timedelta(seconds=10)) == 0
        assert end_expired(datetime.now(UTC) + timedelta(seconds=61)) == 1

    run.refresh_from_db()
    assert run.state_type == "CRASHED"
    assert run.state_message.startswith("The process that ran this script stopped reporting")


def test_sigterm_cancels_the_run(server: Server) -> None:
    script = server.script("hold")
    run = half_done(server)

    script.send_signal(signal.SIGTERM)
    output_of(script)

    run.refresh_from_db()
    assert run.state_type == "CANCELLED"


def test_a_script_is_cancelled_from_portal(server: Server) -> None:
    script = server.script("hold")
    run = half_done(server)

    transition(DjangoSession(), run.id, Cancelling())
    output_of(script)

    run.refresh_from_db()
    assert run.state_type == "CANCELLED"


def test_a_wrong_key_is_said(server: Server) -> None:
    output = output_of(server.script("report", PORTAL_API_KEY="portal_wrong"))

    assert "does not accept the API key in PORTAL_API_KEY (401)" in output
    assert not FlowRun.objects.exists()


def test_a_wrong_address_is_said(server: Server) -> None:
    output = output_of(server.script("report", PORTAL_API_URL=server.url.removesuffix("/api") + "/nowhere"))

    assert "does not answer as Portal does (404). Check PORTAL_API_URL." in output
