"""`deploy`, `runflow` and `token`, beside the database and over HTTP."""

import signal
import threading
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import connections
from pytest_django.live_server_helper import LiveServer

from flows.models import Deployment, Membership, Workspace
from flows.sdk.states import Completed, Failed, Pending, Running
from portal.access.tokens import create_token, find_token
from runs.models import FlowRun
from runs.session import DjangoSession
from runs.transition import transition
from tests.portal.fixtures import deployment_in
from tests.processes import RunningStack

FLOW = '''
from flows import flow

@flow
def weather_report(year: int, city: str = "Seattle"):
    """Say how the weather was."""
'''


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a flow in it, from which the commands are run."""
    (tmp_path / "weather.py").write_text(FLOW)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def manage(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


@pytest.mark.django_db
def test_deploy_then_run(project: Path) -> None:
    deployed = manage("deploy", "weather.py:weather_report", "--name", "daily", "--cron", "0 6 * * *",
                      "--timezone", "Europe/Berlin", "--param", "year=1962", "--tag", "etl")  # fmt: skip

    deployment = Deployment.objects.get()
    assert (deployment.entrypoint, deployment.path) == ("weather.py:weather_report", str(project))
    assert (deployment.parameters, deployment.tags) == ({"year": 1962}, ["etl"])
    assert deployment.description == "Say how the weather was."
    assert deployment.schedules.get().timezone == "Europe/Berlin"
    assert "runflow weather-report/daily --watch" in deployed

    started = manage("runflow", "weather_report/daily", "--param", "city=Aberdeen")

    run = FlowRun.objects.get()
    assert run.parameters == {"year": 1962, "city": "Aberdeen"}
    assert f"/admin/runs/flowrun/{run.id}/" in started
    assert "command line" in run.created_by["display_value"]


@pytest.mark.django_db
def test_deploy_sets_crash_retries(project: Path) -> None:
    manage("deploy", "weather.py:weather_report", "--name", "daily",
           "--crash-retries", "3", "--crash-retry-delay", "1.5")  # fmt: skip
    deployment = Deployment.objects.get()
    assert (deployment.crash_retries, deployment.crash_retry_delay_seconds) == (3, 1.5)


@pytest.mark.django_db
def test_deploying_again_without_a_schedule_takes_it_away(project: Path) -> None:
    manage("deploy", "weather.py:weather_report", "--name", "daily", "--interval", "60")
    manage("deploy", "weather.py:weather_report", "--name", "daily")

    assert Deployment.objects.get().schedules.count() == 0


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["nowhere.py:f", "--name", "x"], "nowhere.py"),
        (["weather.py:typo", "--name", "x"], "typo"),
        (["weather.py", "--name", "x"], "FILE:FLOW"),
        (["broken.py:f", "--name", "x"], "broken.py"),
        (["weather.py:weather_report", "--name", "a/b"], "name:"),
        (["weather.py:weather_report", "--name", "x", "--cron", "61 * * * *"], "61 * * * *"),
        (["weather.py:weather_report", "--name", "x", "--cron", "@daily", "--timezone", "Mars"], "Mars"),
        (["weather.py:weather_report", "--name", "x", "--timezone", "UTC"], "--cron"),
        (["weather.py:weather_report", "--name", "x", "--interval", "0"], "interval"),
        (["weather.py:weather_report", "--name", "x", "--interval", "nan"], "NaN"),
        (["weather.py:weather_report", "--name", "x", "--param", "year"], "name=value"),
        (["weather.py:weather_report", "--name", "x", "--queue", "nowhere/q"], "nowhere"),
        (["weather.py:weather_report", "--name", "x", "--queue", "a/b/c/d"], "a/b/c/d"),
        (["weather.py:weather_report", "--name", "x", "--workspace", "mars"], "mars"),
    ],
)
def test_deploy_says_what_is_wrong(project: Path, arguments: list[str], text: str) -> None:
    (project / "broken.py").write_text("import nothing_of_this_name")

    with pytest.raises(CommandError) as refused:
        manage("deploy", *arguments)

    assert text in str(refused.value)
    assert not Deployment.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["weather-report/seatle"], "weather-report/seattle"),
        (["weather-report"], "FLOW/DEPLOYMENT"),
        (["weather-report/seattle", "--param", "year=soon"], "year"),
        (["weather-report/seattle", "--param", "colour=red", "--param", "year=1962"], "colour"),
    ],
)
def test_runflow_says_what_is_wrong(workspace: Workspace, arguments: list[str], text: str) -> None:
    deployment_in(workspace)

    with pytest.raises(CommandError) as refused:
        manage("runflow", *arguments)

    assert text in str(refused.value)
    assert not FlowRun.objects.exists()


@pytest.mark.django_db
def test_runflow_says_how_to_begin_when_nothing_is_deployed() -> None:
    with pytest.raises(CommandError, match=r"manage\.py deploy"):
        manage("runflow", "weather-report/seattle")


def execute(*states: Callable[..., Any]) -> threading.Thread:
    """Takes the next run through these states, as an agent in another process would."""

    def work() -> None:
        try:
            while not (run := FlowRun.objects.first()):
                pass
            for state in states:
                transition(DjangoSession(), run.id, state(message=f"now {state.__name__}"))
        finally:
            connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("last", "code"), [(Completed, 0), (Failed, 1)])
def test_watching_ends_with_the_run(workspace_again: Workspace, last: Callable[..., Any], code: int) -> None:
    deployment_in(workspace_again)
    thread = execute(Pending, Running, last)
    out = StringIO()

    with pytest.raises(SystemExit) as ended:
        call_command("runflow", "weather-report/seattle", "--param", "year=1962", "--watch", stdout=out)

    thread.join()
    name = last.__name__
    assert ended.value.code == code
    seen = [line.partition(" | ")[2] for line in out.getvalue().splitlines() if " | " in line]
    assert seen == ["Scheduled", "Pending: now Pending", "Running: now Running", f"{name}: now {name}"]


@pytest.fixture
def workspace_again(transactional_db: None) -> Workspace:
    """The default workspace, which a flushed database has lost."""
    return Workspace.objects.get_or_create(name="default")[0]


def test_the_commands_speak_http(
    live_server: LiveServer, workspace_again: Workspace, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = get_user_model().objects.create_user("ada")
    Membership.objects.create(user=user, workspace=workspace_again, role="editor")
    monkeypatch.setenv("PORTAL_API_URL", f"{live_server.url}/api")
    monkeypatch.setenv("PORTAL_API_KEY", create_token(user, workspace_again)[1])

    manage("deploy", "weather.py:weather_report", "--name", "daily")
    started = manage("runflow", "weather-report/daily", "--param", "year=1962")

    assert FlowRun.objects.get().created_by["display_value"] == "ada"
    assert f"{live_server.url}/admin/runs/flowrun/" in started


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("address", "text"),
    [("http://127.0.0.1:9/api", "does not answer"), ("localhost", "http://HOST:PORT/api")],
)
def test_a_server_that_is_not_there(address: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTAL_API_URL", address)

    with pytest.raises(CommandError, match=text):
        manage("runflow", "weather-report/daily")


@pytest.mark.django_db
def test_a_token_is_made_listed_and_revoked(workspace: Workspace) -> None:
    user = get_user_model().objects.create_user("ada")
    Membership.objects.create(user=user, workspace=workspace)

    text = manage("token", "create", "ada", "--name", "laptop").strip()
    listed = manage("token", "list")

    assert find_token(text) is not None
    assert text[:12] in listed and text not in listed and "laptop" in listed
    manage("token", "revoke", text[:12])
    assert find_token(text) is None
    assert manage("token", "list") == ""


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["create", "nobody"], "createsuperuser"),
        (["create", "ada"], "not a member"),
        (["create", "ada", "--workspace", "mars"], "mars"),
        (["revoke", "portal_xyz"], "token list"),
    ],
)
def test_token_says_what_is_wrong(arguments: list[str], text: str) -> None:
    get_user_model().objects.create_user("ada")

    with pytest.raises(CommandError, match=text):
        manage("token", *arguments)


@pytest.mark.processes
def test_ctrl_c_stops_watching_but_not_the_run(stack: RunningStack) -> None:
    deployment_in(Workspace.objects.get(name="default"))
    watching = stack.start("runflow", "weather-report/seattle", "--param", "year=1962", "--watch")
    watching.wait_for("waiting: No agent serves queue 'default'")

    watching.signal(signal.SIGINT)

    assert watching.wait() == 130
    assert "The run goes on" in watching.output
    assert "Traceback" not in watching.output
    assert FlowRun.objects.get().state_type == "SCHEDULED"
