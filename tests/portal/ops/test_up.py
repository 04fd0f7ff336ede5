"""`manage.py up`: two commands and it runs, whatever happened to it before."""

import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import sysconfig
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.portal.ops.upstack import (
    UpStack,
    alive,
    manage,
    new_home,
    plain_environment,
    up,
    wait_until_gone,
)
from tests.processes import PROJECT, free_port, read_json, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("up")]


@pytest.fixture(scope="module")
def running() -> Iterator[UpStack]:
    """One stack, started in an empty folder, for the tests that only look at it."""
    with up(new_home()) as stack:
        stack.wait_until_welcome()
        yield stack


def test_an_empty_folder_becomes_a_ready_stack(running: UpStack) -> None:
    assert running.is_ready()


def test_nothing_fails_meanwhile(running: UpStack) -> None:
    """The server loads while the tables are made."""
    assert "Traceback" not in running.output
    assert "again in" not in running.output


def test_it_prints_url_login_and_key_once(running: UpStack) -> None:
    key = (running.data / "api-key").read_text().strip()

    assert running.output.count(f"http://localhost:{running.port}\n") == 1
    assert running.output.count("Login: admin / ") == 1
    assert running.output.count(key) == 1


@pytest.mark.parametrize("name", ["api-key", "stack.json", "secret-key"])
def test_secrets_are_for_their_owner_alone(running: UpStack, name: str) -> None:
    assert stat.S_IMODE((running.data / name).stat().st_mode) == 0o600


def test_no_server_but_ours_opens_a_network_port(running: UpStack) -> None:
    addresses = read_json(running.data / "stack.json")

    assert addresses["redis_url"].startswith("unix://")
    assert "?host=%2F" in addresses["database_url"]


def test_the_server_does_not_say_what_it_runs_on(running: UpStack) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{running.port}/api/health") as answer:
        assert answer.headers["server"] is None


def test_a_second_terminal_finds_the_stack(running: UpStack) -> None:
    result = manage(running.home, "shell", "-v0", "-c", "print(Workspace.objects.get())")

    assert result.stdout.strip() == "default", result.stderr


def test_a_second_up_on_the_same_folder_is_refused(running: UpStack) -> None:
    result = manage(running.home, "up", "--no-demo")

    assert result.returncode == 1
    assert f"runs on {running.data} already (process {running.pid})" in result.stderr


def test_a_child_that_dies_is_started_again() -> None:
    with up(new_home()) as stack:
        everything = stack.wait_until_welcome()

        os.kill(_pid_of("serve", everything), signal.SIGKILL)

        stack.wait_for("server    | ended (signal SIGKILL); again in 0.5 s")
        wait_until(stack.is_ready)


def test_ctrl_c_leaves_no_process_and_the_next_start_keeps_the_data() -> None:
    home = new_home()
    with up(home) as stack:
        everything = stack.wait_until_welcome()
        key = (stack.data / "api-key").read_text()
        stack.signal(signal.SIGINT)
        assert stack.wait() == 0
        assert not alive(everything)
        assert not (stack.data / "stack.json").exists()

    with up(home) as again:
        again.wait_until_welcome()
        assert (again.data / "api-key").read_text() == key
        assert "Login: admin (" in again.output


def test_it_recovers_from_its_own_sudden_death() -> None:
    home = new_home()
    with up(home) as stack:
        everything = stack.wait_until_welcome()
        stack.kill()
        wait_until_gone(everything)
        meanwhile = manage(home, "shell", "-v0", "-c", "Workspace.objects.get()")
        assert (
            f"The address is from {stack.data}/stack.json: start that stack by `make run`" in meanwhile.stderr
        )

    with up(home) as again:
        again.wait_until_welcome()
        assert again.is_ready()


def test_a_server_left_by_a_killed_owner_is_ended_first() -> None:
    """What an older kernel, or a container's init, may leave: a PostgreSQL that outlived its owner."""
    home = new_home()
    with up(home) as stack:
        stack.wait_until_welcome()
    left = subprocess.Popen(
        [sys.executable, "-c", LEAVE_A_POSTGRES, str(stack.data / "pg")], cwd=PROJECT, stdout=subprocess.PIPE
    )
    assert left.stdout is not None
    pid = int(left.stdout.readline())
    left.wait()
    assert alive({pid})

    with up(home) as again:
        again.wait_until_welcome()
        assert not alive({pid})


LEAVE_A_POSTGRES = """
import sys
from pathlib import Path
from portal.ops import processes
from portal.ops.embedded import Postgres
processes.die_with_parent = lambda death_signal, parent: None
server = Postgres(Path(sys.argv[1]))
server.start()
print(server.pid, flush=True)
"""


def test_a_taken_port_names_its_holder() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        result = manage(new_home(), "up", "--port", str(port))

    assert result.returncode == 1
    assert f"Port {port} is taken by process {os.getpid()} (" in result.stderr
    assert f"--port {port + 1}" in result.stderr


def test_a_path_too_long_for_a_socket_is_refused() -> None:
    result = manage(new_home(), "up", "--port", str(free_port()), "--data", "d" * 90)

    assert result.returncode == 1
    assert "sockets allow 90" in result.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's PostgreSQL runs as another user")
def test_root_is_told_of_a_folder_that_postgresql_cannot_enter() -> None:
    home = new_home()
    closed = home / "closed"
    closed.mkdir(mode=0o700)

    result = manage(home, "up", "--port", str(free_port()), "--data", str(closed / "data"))

    assert result.returncode == 1
    assert f"may not enter {closed}" in result.stderr
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="the other tests are this one already")
def test_an_ordinary_user_needs_no_more() -> None:
    home = new_home()
    nobody = pwd.getpwnam("nobody")
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    python, packages = _python_for_everybody(nobody)
    manage_py = _copy_for_everybody(home) / "manage.py"

    result = subprocess.run(
        [python, "-c", START_AND_STOP, str(manage_py), str(free_port())],
        user=nobody.pw_uid,
        group=nobody.pw_gid,
        extra_groups=[],
        cwd=home,
        env={**plain_environment(), "HOME": str(home), "PYTHONPATH": packages},
        capture_output=True,
        text=True,
        timeout=300,
    )

    assert "Portal is ready" in result.stdout, result.stdout + result.stderr
    assert (home / ".portal" / "pg").owner() == "nobody"


START_AND_STOP = """
import subprocess, sys
up = subprocess.Popen(
    [sys.executable, sys.argv[1], "up", "--no-demo", "--agents", "0", "--port", sys.argv[2]],
    stdout=subprocess.PIPE, text=True)
for line in up.stdout:
    print(line, end="")
    if "Ctrl-C" in line:
        up.terminate()
"""


def _python_for_everybody(user: pwd.struct_passwd) -> tuple[str, str]:
    """An interpreter that `user` may run, and our packages: root's own Python is often closed to others."""
    packages = sysconfig.get_path("purelib")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, f"/usr/bin/python{version}"):
        with suppress(OSError, subprocess.CalledProcessError):
            subprocess.run(
                [python, "-c", "import django, redis, uvicorn"],
                user=user.pw_uid,
                group=user.pw_gid,
                extra_groups=[],
                cwd="/",
                env={"PYTHONPATH": packages},
                check=True,
                capture_output=True,
            )
            return python, packages
    pytest.skip(f"no Python {version} with our packages that {user.pw_name!r} may run")


def _copy_for_everybody(home: Path) -> Path:
    """The project where others may read it: a checkout is often its owner's alone."""
    copy = home / "project"
    copy.mkdir(mode=0o755)
    for package in ("flows", "runs", "agents", "portal", "static"):
        if (PROJECT / package).exists():
            shutil.copytree(PROJECT / package, copy / package)
    shutil.copy(PROJECT / "manage.py", copy)
    return copy


def _pid_of(command: str, pids: set[int]) -> int:
    """The one of `pids` that runs this command of manage.py."""
    for pid in pids:
        if command.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
            return pid
    raise AssertionError(f"no {command} in the stack")
