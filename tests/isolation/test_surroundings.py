"""What an isolated process is given: interpreter, environment, folder, and none of the agent's secrets."""

import socket
from pathlib import Path
from typing import Any

import pytest

from runs.create import create_flow_run
from tests.factories import make_deployment
from tests.isolation.conftest import IsolatedStage
from tests.processes import read_json

pytestmark = pytest.mark.processes

SECRETS = {"PORTAL_SECRET_KEY", "PORTAL_RESULT_KEYS", "SOME_PASSWORD"}


def seen(stage: IsolatedStage) -> dict[str, Any]:
    """What the flow `shows` saw."""
    run = stage.ended(stage.create("shows"))
    assert run.state_type == "COMPLETED", run.state_message
    return read_json(stage.folder / "seen")


def test_it_runs_in_the_pool_s_virtual_environment(stage: IsolatedStage) -> None:
    venv = stage.virtual_environment()
    work = stage.folder / "work"
    work.mkdir()
    stage.pool(python=str(venv), environment={"CITY": "Oslo"}, working_dir=str(work))
    stage.agent()

    there = seen(stage)

    assert (there["prefix"], there["folder"]) == (str(venv), str(work))
    assert there["environment"]["CITY"] == "Oslo"
    assert there["environment"]["PATH"].startswith(f"{venv}/bin:")


def test_the_deployment_s_job_variables_go_before_the_pool_s(stage: IsolatedStage) -> None:
    work = stage.folder / "work"
    work.mkdir()
    stage.pool(environment={"CITY": "Oslo", "FROM": "pool"}, working_dir="/")
    stage.deployment("shows", job_variables={"env": {"CITY": "Rome"}, "working_dir": str(work)})
    stage.agent()

    there = seen(stage)

    assert (there["environment"]["CITY"], there["environment"]["FROM"]) == ("Rome", "pool")
    assert there["folder"] == str(work)


def test_the_agent_s_secrets_stay_with_the_agent(stage: IsolatedStage) -> None:
    stage.agent(SOME_PASSWORD="hunter2", PORTAL_RESULT_KEYS="key-of-the-agent-alone")
    assert stage.stack.env["PORTAL_SECRET_KEY"]

    there = seen(stage)

    secret = {stage.stack.database_url, stage.stack.redis_url, "hunter2", "portal_run_"}
    shown = f"{there['environment']} {there['arguments']} {there['stdin']}"
    assert not [each for each in secret if each in shown]
    assert not {name for name in there["environment"] if name in SECRETS or name.endswith("_URL")}


def test_modules_of_the_flow_s_folder_are_not_hidden_by_the_agent_s(stage: IsolatedStage) -> None:
    code = stage.folder / "code"
    code.mkdir()
    for name in ("agents", "runs", "portal", "tests"):
        (code / f"{name}.py").write_text(f"HERE = 'the {name} of the flow'\n")
    (code / "etl.py").write_text(
        "import agents, portal, runs, tests\n"
        "from flows import flow\n\n"
        "@flow\n"
        "def etl() -> str:\n"
        "    print([agents.HERE, portal.HERE, runs.HERE, tests.HERE])\n"
    )
    deployment = make_deployment(queue=stage.queue, path=str(code), entrypoint="etl.py:etl")
    stage.agent()

    run = stage.ended(create_flow_run(deployment))

    assert run.state_type == "COMPLETED", run.state_message


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"python": "/no/such/venv"}, "wants the Python /no/such/venv, which is not there"),
        ({"working_dir": "/no/such/folder"}, "wants to work in /no/such/folder, which is no folder there"),
        ({"python": "/etc/passwd"}, "wants the Python /etc/passwd, which is not there or cannot be executed"),
    ],
)
def test_what_the_machine_does_not_have_is_said(
    stage: IsolatedStage, settings: dict[str, str], reason: str
) -> None:
    stage.pool(**settings)
    stage.agent()

    run = stage.ended(stage.create("shows"))

    assert run.state_type == "FAILED"
    assert f"Work pool 'isolated' on {socket.gethostname()} {reason}" in run.state_message


def test_an_interpreter_without_what_the_sdk_needs_is_said(stage: IsolatedStage) -> None:
    venv = stage.virtual_environment(sees_our_packages=False)
    stage.pool(python=str(venv))
    stage.agent()

    run = stage.ended(stage.create("shows"))

    assert run.state_type == "FAILED"
    assert f"could not start a process with {venv}: ModuleNotFoundError: No module named" in run.state_message


def test_a_program_that_is_no_python_is_said(stage: IsolatedStage) -> None:
    script = Path(stage.folder, "python")
    script.write_text("this is no program")
    script.chmod(0o700)
    stage.pool(python=str(script))
    stage.agent()

    run = stage.ended(stage.create("shows"))

    assert run.state_type == "FAILED"
    assert "Exec format error" in run.state_message


def test_job_variables_that_are_none_are_said(stage: IsolatedStage) -> None:
    stage.deployment("shows", job_variables={"env": {"CITY": 3}})
    stage.agent()

    run = stage.ended(stage.create("shows"))

    assert run.state_type == "FAILED"
    assert run.state_message == (
        "The job variable 'env' of this run's deployment must have a text as the value of CITY."
    )
