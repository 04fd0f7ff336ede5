"""Scripts that report to a real server."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model

from flows.models import Membership, Workspace
from portal.access.tokens import create_token
from tests.processes import PROJECT, Child, RunningStack
from tests.standing import StandingServer

SCRIPT = Path(__file__).with_name("script.py")


class Server:
    """`manage.py serve`, which may be killed and started again, and scripts that use it."""

    def __init__(self, standing: StandingServer, stack: RunningStack) -> None:
        self.folder = stack.folder
        self.url = standing.url
        self._standing = standing
        self._stack = stack
        self.process = self.start()
        self.key = create_token(
            get_user_model().objects.create_superuser("admin"), Workspace.objects.get(name="default")
        )[1]
        self._scripts: list[subprocess.Popen[str]] = []

    def start(self) -> Child:
        """Start the server, unless it runs."""
        self.process = self._standing.ready()
        return self.process

    def script(self, flow: str, file: Path = SCRIPT, **environment: str) -> "subprocess.Popen[str]":
        """Start a flow of `file` with nothing but the server's address and a key."""
        inherited = {k: v for k, v in os.environ.items() if k not in {"DATABASE_URL", "REDIS_URL"}}
        own = {"PORTAL_API_URL": self.url, "PORTAL_API_KEY": self.key, "PYTHONPATH": str(PROJECT)}
        process = subprocess.Popen(
            [sys.executable, str(file), flow, str(self.folder)],
            env={**inherited, **own, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._scripts.append(process)
        return process

    def agent(self) -> None:
        """Start an agent of the default queue."""
        self._stack.start("rqworker", "default").wait_for(" serves ")

    def key_of(self, role: str) -> str:
        """An API key of a new user with this role."""
        workspace = Workspace.objects.get(name="default")
        user = get_user_model().objects.create_user(role)
        Membership.objects.create(user=user, workspace=workspace, role=role)
        return create_token(user, workspace)[1]

    def stop_scripts(self) -> None:
        for process in self._scripts:
            process.kill()
            process.communicate()


@pytest.fixture
def server(standing: StandingServer, tmp_path: Path) -> Iterator[Server]:
    with standing.helped(tmp_path) as stack:
        running = Server(standing, stack)
        yield running
        running.stop_scripts()
