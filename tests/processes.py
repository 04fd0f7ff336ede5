"""Real `manage.py` processes over a committed database: the `stack` fixture's tools."""

import itertools
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from portal.ops import processes

PROJECT = Path(__file__).resolve().parent.parent
Found = TypeVar("Found")
# Seconds for what must come. Generous, since it costs nothing: a busy machine is slow, but not wrong.
PATIENCE = 60.0


def wait_until(condition: Callable[[], Found], timeout: float = PATIENCE, *, what: str = "") -> Found:
    """The first true value of `condition`, asked every 20 ms. Fails the test after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:g} s: {what or condition}")
        time.sleep(0.02)


WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
PORTS = 1_500
# Test runs that share a machine begin at different ones.
_ports = (20_000 + WORKER % 8 * PORTS + (os.getpid() * 37 + n) % PORTS for n in itertools.count())


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on, and that no other test process is given, either.

    Below the ports that the kernel gives to clients: one of those could be taken before it is used.
    """
    return next(port for port in _ports if not answers(port))


def answers(port: int) -> bool:
    """Whether somebody listens on this port of 127.0.0.1."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Child:
    """A running command; its output is collected while it runs."""

    def __init__(
        self, program: Sequence[str], arguments: Sequence[str], environment: dict[str, str], folder: Path
    ) -> None:
        self.arguments = list(arguments)
        self._lines: list[str] = []
        self.process = subprocess.Popen(
            [*program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=folder,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.append(line)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def output(self) -> str:
        """Everything printed so far, both streams."""
        return "".join(self._lines)

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    def wait_for(self, text: str, timeout: float = PATIENCE) -> str:
        """Wait until `text` was printed; returns the output. Fails with the output if it ends before."""

        def printed() -> bool:
            if text not in self.output and not self.is_alive:
                self._reader.join(2)
                if text not in self.output:
                    raise AssertionError(f"ended without printing {text!r}:\n{self.output}")
            return text in self.output

        try:
            wait_until(printed, timeout)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{text!r} is not in:\n{self.output}") from None
        return self.output

    def wait(self, timeout: float = PATIENCE) -> int:
        """Wait until it ends; returns its exit code, negative for a signal."""
        code = self.process.wait(timeout)
        self._reader.join(2)
        return code

    def signal(self, number: int) -> None:
        """Send a signal to this process alone."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, as the kernel's memory killer would."""
        self.process.kill()
        self.wait()

    def stop(self, timeout: float = 10.0) -> None:
        """SIGTERM, then SIGKILL to its group; used for every child when a test is over."""
        processes.end(self.process, 15, timeout)


class RunningStack:
    """A fresh, migrated, committed database and an empty Redis, and processes that use them.

    Django's connection in the test itself points there too, so a test may use the ORM freely.
    """

    def __init__(self, database_url: str, redis_url: str, folder: Path) -> None:
        self.database_url = database_url
        self.redis_url = redis_url
        self.folder = folder
        self.env = {
            **os.environ,
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "PORTAL_DATA_DIR": str(folder / "data"),
            "PYTHONUNBUFFERED": "1",
        }
        self._children: list[Child] = []

    def start(self, *arguments: str, env: dict[str, str] | None = None, cwd: Path | None = None) -> Child:
        """Start `manage.py <arguments>` in `cwd` (default: the stack's own folder)."""
        manage = [sys.executable, str(PROJECT / "manage.py")]
        return self._started(Child(manage, arguments, {**self.env, **(env or {})}, cwd or self.folder))

    def start_python(self, python: str, *arguments: str, env: dict[str, str]) -> Child:
        """Start `python <arguments>` with this environment and no other; it ends with the rest."""
        return self._started(Child([python], arguments, env, self.folder))

    def _started(self, child: Child) -> Child:
        self._children.append(child)
        return child

    def run(
        self, *arguments: str, env: dict[str, str] | None = None, timeout: float = 180
    ) -> "subprocess.CompletedProcess[str]":
        """Run `manage.py <arguments>` to its end; does not raise on a failing exit code."""
        return subprocess.run(
            [sys.executable, str(PROJECT / "manage.py"), *arguments],
            env={**self.env, **(env or {})},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    @property
    def children(self) -> list[Child]:
        """All that were started, whether they have ended or not."""
        return list(self._children)

    @property
    def living(self) -> list[Child]:
        """The children that have not ended."""
        return [child for child in self._children if child.is_alive]

    def stop(self) -> None:
        """End every child; agents before what they talk to."""
        for child in reversed(self._children):
            child.stop()


def descendants(pid: int) -> set[int]:
    """The living processes below `pid`, by their parent ids now."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[0] != "Z":
                parents[int(entry.name)] = int(fields[1])
    found: set[int] = set()
    layer = {pid}
    while layer:
        layer = {child for child, parent in parents.items() if parent in layer} - found
        found |= layer
    return found


def read_json(path: Path) -> dict[str, str]:
    """The JSON object in a file."""
    content: dict[str, str] = json.loads(path.read_text())
    return content
