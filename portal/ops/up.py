"""`manage.py up`: the whole stack in one terminal.

Starts PostgreSQL and Valkey (unless their addresses are given), prepares the database, and keeps the
server, the scheduler and the agents running. It stays a few megabytes small: it never loads Django.
"""

import argparse
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from portal.ops import ports
from portal.ops.data_folder import DataFolder
from portal.ops.embedded import Postgres, ServerError, Valkey
from portal.ops.embedded.server import Server
from portal.ops.stack import (
    Stack,
    StackError,
    agent_api_url,
    data_folder,
    public_url,
    refuse_placeholder,
    refuse_weak_secret_key,
)
from portal.ops.supervisor import Program, Supervisor

HOST = "127.0.0.1"
DEFAULT_PORT = 4200
LARGEST_PORT = 65535
STOP_TIMEOUT = 10.0
SUMMARY = ("Login:", "API key:")  # what `prepare` says to people; it is shown when all is ready
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """Somebody pressed Ctrl-C or sent SIGTERM or SIGHUP."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `up`."""
    parser.add_argument(
        "--port",
        type=_port,
        default=os.environ.get("PORTAL_PORT") or DEFAULT_PORT,
        help="where the pages and the API are served (default: PORTAL_PORT or 4200)",
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=data_folder(),
        help="folder of the embedded servers (default: PORTAL_DATA_DIR or .portal)",
    )
    parser.add_argument("--agents", type=_count, default=2, help="how many agents to run (default: 2)")
    parser.add_argument("--no-demo", action="store_true", help="do not deploy the demo flow")


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= LARGEST_PORT:
        raise argparse.ArgumentTypeError(f"a port is a number from 1 to {LARGEST_PORT}, not {text!r}")
    return int(text)


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"how many is a number from 0 on, not {text!r}")
    return int(text)


def main(arguments: Sequence[str]) -> int:
    """Run the stack until Ctrl-C; returns the exit code."""
    parser = argparse.ArgumentParser(prog="manage.py up", description="Run the whole stack in one terminal.")
    add_arguments(parser)
    options = parser.parse_args(arguments)
    for number in STOP_SIGNALS:
        signal.signal(number, _raise_stopped)
    try:
        Up(DataFolder(options.data.absolute()), options.port, options.agents, not options.no_demo).run()
    except (StackError, ServerError) as error:
        sys.stderr.write(f"\n{error}\n")
        return 1
    except Stopped:
        pass
    return 0


def _raise_stopped(number: int, frame: object) -> None:
    _stop_once()
    raise Stopped


def _stop_once() -> None:
    """From here on we are stopping, which takes its time: a second Ctrl-C must not cut it off."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


class Up:
    """One run of the stack."""

    def __init__(self, folder: DataFolder, port: int, agents: int, demo: bool) -> None:
        self.folder = folder
        self.port = port
        self.agents = agents
        self.demo = demo
        self.notes: list[str] = []
        self.servers: list[Server] = []

    def run(self) -> None:
        """Start everything, keep it running, stop everything. Raises StackError or ServerError."""
        self.folder.take()
        self._refuse_taken_port()
        stack = self._plan()
        supervisor = Supervisor(self._environment(stack))
        try:
            self._start(stack, supervisor)
            while True:
                supervisor.step(timeout=60)
        except Stopped:
            _say("\nStopping ...")
            raise
        finally:
            _stop_once()
            supervisor.stop(STOP_TIMEOUT)
            for server in reversed(self.servers):
                server.stop()
            self.folder.withdraw()

    def _refuse_taken_port(self) -> None:
        try:
            if ports.is_free(HOST, self.port):
                return
        except PermissionError:
            raise StackError(
                f"Ports below 1024 are for root, as {self.port} is. Choose another one: --port {DEFAULT_PORT}"
            ) from None
        holder = ports.holder(self.port) or "a process of another user"
        raise StackError(
            f"Port {self.port} is taken by {holder}.\nStop it, or choose another port: --port {self.port + 1}"
        )

    def _plan(self) -> Stack:
        """Where everything will be; makes the embedded servers that are needed."""
        database_url = os.environ.get("DATABASE_URL", "")
        redis_url = os.environ.get("REDIS_URL", "")
        if not redis_url:
            self.servers.append(Valkey(self.folder.path / "valkey"))
            redis_url = self.servers[-1].url
        if not database_url:
            self.servers.append(Postgres(self.folder.path / "pg"))
            database_url = self.servers[-1].url
        secret_key = os.environ.get("PORTAL_SECRET_KEY") or self.folder.secret_key()
        refuse_weak_secret_key(secret_key)
        refuse_placeholder("PORTAL_ADMIN_PASSWORD", os.environ.get("PORTAL_ADMIN_PASSWORD", ""))
        return Stack(database_url, redis_url, secret_key, public_url(f"http://localhost:{self.port}"))

    def _environment(self, stack: Stack) -> dict[str, str]:
        return {
            **os.environ,
            "DATABASE_URL": stack.database_url,
            "REDIS_URL": stack.redis_url,
            "PORTAL_SECRET_KEY": stack.secret_key,
            "PORTAL_URL": stack.url,
            "PORTAL_AGENT_API_URL": agent_api_url(f"http://127.0.0.1:{self.port}"),
            "PORTAL_PORT": str(self.port),
            "PORTAL_DATA_DIR": str(self.folder.path),
            "PYTHONUNBUFFERED": "1",
        }

    def _start(self, stack: Stack, supervisor: Supervisor) -> None:
        """A start is bound by Python's imports, so `prepare` loads while PostgreSQL starts, and the server
        while the database is prepared; `/api/ready` says when it may be used."""
        prepare = self._preparation(supervisor)
        supervisor.start(prepare)
        for server in self.servers:
            server.launch()
        for server in self.servers:
            server.wait()
        self.folder.announce(stack)
        supervisor.start(Program("server", _command("serve")))
        while prepare.exit_code is None:
            supervisor.step(timeout=60)
        if prepare.exit_code != 0:
            raise StackError("The database could not be prepared: the lines above say why.")
        supervisor.start(Program("scheduler", _command("scheduler")))
        for number in range(1, self.agents + 1):
            supervisor.start(Program(f"agent {number}", _command("rqworker", "default")))
        while not self._is_ready():
            supervisor.step(timeout=0.05)
        self._welcome(stack)

    def _preparation(self, supervisor: Supervisor) -> Program:
        """`prepare`, whose summary waits for the welcome; the rest of its output is shown at once."""

        def show(line: str) -> None:
            if line.startswith(SUMMARY):
                self.notes.append(line)
            else:
                supervisor.say("prepare", line)

        options = ["--api-key-file", str(self.folder.api_key_file), *([] if self.demo else ["--no-demo"])]
        if any(isinstance(server, Postgres) for server in self.servers):
            options.append(f"--wait={Server.start_timeout:.0f}")
        return Program("prepare", _command("prepare", *options), once=True, on_line=show)

    def _is_ready(self) -> bool:
        """Whether `/api/ready` answers 200. By hand: an HTTP library would double our size."""
        try:
            with socket.create_connection((HOST, self.port), timeout=5) as connection:
                connection.sendall(b"GET /api/ready HTTP/1.0\r\nHost: localhost\r\n\r\n")
                return connection.recv(64).split(b" ")[1:2] == [b"200"]
        except OSError:
            return False

    def _welcome(self, stack: Stack) -> None:
        lines = [f"Portal is ready: {stack.url}", *self.notes, "Ctrl-C stops everything."]
        _say("\n" + "\n".join(f"  {line}" for line in lines) + "\n")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _command(*arguments: str) -> list[str]:
    return [sys.executable, str(Path(sys.argv[0]).absolute()), *arguments]
