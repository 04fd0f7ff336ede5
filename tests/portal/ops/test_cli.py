"""Commands that cannot reach the stack: one clear line, no traceback."""

import subprocess
import sys

import pytest

from tests.portal.ops.upstack import new_home, plain_environment
from tests.processes import PROJECT, RunningStack

KEY = "a-secret-of-our-own-0123456789"


def manage(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """`manage.py <arguments>` in an empty folder, with these variables and no other of ours."""
    return subprocess.run(
        [sys.executable, str(PROJECT / "manage.py"), *arguments],
        cwd=new_home(),
        env={**plain_environment(), **environment},
        capture_output=True,
        text=True,
        timeout=180,
    )


@pytest.mark.parametrize(
    "command", ["migrate", "rqworker", "scheduler", "deploy", "runflow", "serve", "shell"]
)
def test_without_a_stack_commands_say_how_to_get_one(command: str) -> None:
    result = manage(command)

    assert result.returncode == 1
    assert result.stderr.strip() == "no stack found: run `make run` or set DATABASE_URL"


@pytest.mark.parametrize("arguments", [["help"], ["deploy", "--help"], ["up", "--help"], ["--version"]])
def test_help_needs_no_stack(arguments: list[str]) -> None:
    assert manage(*arguments).returncode == 0


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("", "PORTAL_SECRET_KEY is not set"),
        ("changeme", "PORTAL_SECRET_KEY is still a placeholder"),
        ("change-me-to-a-long-random-text", "PORTAL_SECRET_KEY is still a placeholder"),
        ("short", "PORTAL_SECRET_KEY is shorter than 16 characters"),
    ],
)
def test_a_weak_secret_key_is_refused(key: str, reason: str) -> None:
    result = manage("migrate", DATABASE_URL="postgresql:///nowhere", PORTAL_SECRET_KEY=key)

    assert result.returncode == 1
    assert reason in result.stderr
    assert "Traceback" not in result.stderr


def test_a_placeholder_password_of_the_database_is_refused() -> None:
    result = manage("migrate", DATABASE_URL="postgresql://portal:changeme@db/x", PORTAL_SECRET_KEY=KEY)

    assert "the password in DATABASE_URL is still a placeholder" in result.stderr


def test_an_address_without_a_scheme_is_refused() -> None:
    result = manage(
        "migrate", DATABASE_URL="postgresql:///x", PORTAL_SECRET_KEY=KEY, PORTAL_URL="portal.example.org"
    )

    assert result.stderr.startswith("PORTAL_URL must look like https://portal.example.org")


def test_an_address_for_agents_without_a_scheme_is_refused() -> None:
    known = {"DATABASE_URL": "postgresql:///x", "PORTAL_SECRET_KEY": KEY}
    result = manage("migrate", **known, PORTAL_AGENT_API_URL="server:4200")

    assert result.stderr.startswith("PORTAL_AGENT_API_URL must look like http://server:4200/api")


def test_an_unknown_way_of_pooling_is_refused() -> None:
    known = {"DATABASE_URL": "postgresql:///x", "PORTAL_SECRET_KEY": KEY}
    result = manage("migrate", **known, PORTAL_POOLER="statement")
    assert result.returncode == 1
    assert result.stderr == "PORTAL_POOLER must be session or transaction, and is 'statement'.\n"


def test_a_placeholder_password_of_the_first_admin_is_refused(stack: RunningStack) -> None:
    result = stack.run("prepare", env={"PORTAL_ADMIN_PASSWORD": "changeme"})

    assert "PORTAL_ADMIN_PASSWORD is still a placeholder" in result.stderr


def test_a_database_that_is_away_names_address_and_variable_but_no_password() -> None:
    url = "postgresql://portal:hidden-word@127.0.0.1:1/portal"

    result = manage("migrate", DATABASE_URL=url, PORTAL_SECRET_KEY=KEY)

    assert result.returncode == 1
    assert "The database at postgresql://127.0.0.1:1/portal does not answer" in result.stderr
    assert "Check DATABASE_URL" in result.stderr
    assert "POSTGRES_PASSWORD" in result.stderr
    assert "hidden-word" not in result.stderr
    assert "Traceback" not in result.stderr


def test_debug_pages_are_served_to_this_machine_alone(stack: RunningStack) -> None:
    result = stack.run("serve", "--host", "0.0.0.0", env={"PORTAL_DEBUG": "1"})

    assert result.returncode == 1
    assert "Unset PORTAL_DEBUG, or listen on 127.0.0.1" in result.stderr
