"""What `manage.py up` cannot begin with, it says in words, at once."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from portal.ops import ports
from tests.portal.ops.upstack import new_home, plain_environment
from tests.processes import PROJECT, free_port


def refusal(home: Path, *arguments: str, **environment: str) -> str:
    """What `up` says when it ends with an error."""
    done = subprocess.run(
        [sys.executable, str(PROJECT / "manage.py"), "up", *arguments],
        cwd=home,
        env={**plain_environment(), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize("port", ["0", "65536", "-1", "http"])
def test_a_port_that_is_none(port: str) -> None:
    home = new_home()

    assert f"a port is a number from 1 to 65535, not '{port}'" in refusal(home, f"--port={port}")
    assert f"a port is a number from 1 to 65535, not '{port}'" in refusal(home, PORTAL_PORT=port)


def test_a_number_of_agents_below_none() -> None:
    assert "a number from 0 on, not '-1'" in refusal(new_home(), "--agents=-1")


def test_a_port_for_root_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(ports.socket.socket):
        def bind(self, address: object) -> None:
            raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(ports.socket, "socket", Refusing)

    with pytest.raises(PermissionError):
        ports.is_free("127.0.0.1", 80)


def test_a_file_where_the_data_folder_should_be() -> None:
    home = new_home()
    (home / "data").touch()

    said = refusal(home, "--data", "data", f"--port={free_port()}")

    assert f"Cannot use the data folder {home / 'data'}: File exists.\nChoose another one" in said


def test_a_folder_without_room() -> None:
    """A full disk, as near as an ordinary user can bring it about: files that may not grow."""
    home = new_home()
    command = [sys.executable, str(PROJECT / "manage.py"), "up", f"--port={free_port()}"]

    done = subprocess.run(
        command,
        cwd=home,
        env=plain_environment(),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.stderr.strip().splitlines() == [
        f"Cannot use the data folder {home / '.portal'}: File too large.",
        "Choose another one with --data or PORTAL_DATA_DIR.",
    ]
