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
from tests.processes import PROJECT, Child, RunningStack, answers, free_port, wait_until

SCRIPT = Path(__file__).with_name("script.py")


class Server:
    """`manage.py serve`, which may be killed and started again, and scripts that use it."""

    def __init__(self, stack: RunningStack) -> None:
        self.folder = stack.folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/api"
        self.key = create_token(
            get_user_model().objects.create_superuser("admin"), Workspace.objects.get(name="default")
        )[1]
        self._stack = stack
        self._scripts: list[subprocess.Popen[str]] = []
        self.process = self.start()

    def start(self) -> Child:
        self.process = self._stack.start("serve", "--port", str(self.port))
        wait_until(lambda: answers(self.port), what="the server answers")
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
def server(stack: RunningStack) -> Iterator[Server]:
    running = Server(stack)
    yield running
    running.stop_scripts()
