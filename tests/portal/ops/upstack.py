"""Running `manage.py up` in tests: a home to run it in, and what it leaves behind."""

import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from tests.processes import PROJECT, Child, descendants, free_port, wait_until
from tests.servers import FOLDER

READY_TIMEOUT = 180.0
OURS = ("DATABASE_URL", "REDIS_URL")


def new_home() -> Path:
    """An empty folder that others may walk through: as root, PostgreSQL runs as another user."""
    home = Path(os.environ[FOLDER]) / uuid4().hex[:8]
    home.mkdir()
    home.chmod(0o711)
    return home


def plain_environment() -> dict[str, str]:
    """The environment of somebody who has set nothing."""
    return {k: v for k, v in os.environ.items() if k not in OURS and not k.startswith("PORTAL_")}


class UpStack(Child):
    """`manage.py up` in `home`, with data in `home/.portal`."""

    def __init__(self, home: Path, *arguments: str, port: int | None = None) -> None:
        self.home = home
        self.port = port or free_port()
        super().__init__(
            [sys.executable, str(PROJECT / "manage.py")],
            ["up", "--port", str(self.port), "--agents", "1", "--no-demo", *arguments],
            plain_environment(),
            home,
        )

    @property
    def data(self) -> Path:
        return self.home / ".portal"

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def wait_until_welcome(self) -> set[int]:
        """Wait until it says that it is ready; returns all its processes."""
        self.wait_for("Ctrl-C stops everything", READY_TIMEOUT)
        return descendants(self.pid)


@contextmanager
def up(home: Path, *arguments: str, port: int | None = None) -> Iterator[UpStack]:
    """A stack that is ended with SIGTERM at the end, whatever happens."""
    stack = UpStack(home, *arguments, port=port)
    try:
        yield stack
    finally:
        stack.stop(30)


def manage(home: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """`manage.py <arguments>` in another terminal: same folder, no variables."""
    return subprocess.run(
        [sys.executable, str(PROJECT / "manage.py"), *arguments],
        cwd=home,
        env=plain_environment(),
        capture_output=True,
        text=True,
        timeout=180,
    )


def alive(pids: set[int]) -> set[int]:
    """Those of `pids` that still run."""
    return {pid for pid in pids if Path(f"/proc/{pid}/cwd").is_symlink() and _state(pid) != "Z"}


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def wait_until_gone(pids: set[int]) -> None:
    wait_until(lambda: not alive(pids), what="every process of the stack has ended")
