"""A Portal with agents, and a server for scripts that reach it by HTTP."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from pytest_django.live_server_helper import LiveServer

from flows.models import Deployment, Membership, Workspace
from flows.sdk import backend, portal
from portal.access.tokens import create_token
from runs import slot_bell
from runs.create import create_flow_run
from runs.models import FlowRun
from tests.factories import default_workspace, make_deployment
from tests.faults.conftest import Stage
from tests.portal.fixtures import (
    deployment_in,
    editor,
    elsewhere,
    foreigner,
    operator,
    superuser,
    viewer,
    workspace,
)
from tests.processes import PROJECT, RunningStack, free_port

__all__ = ["editor", "elsewhere", "foreigner", "operator", "superuser", "viewer", "workspace"]
FLOW_FILE = Path(__file__).parent / "flow_file.py"


@pytest.fixture(autouse=True)
def known_portal() -> Iterator[None]:
    """Each test finds its own Portal, and leaves no connection behind."""
    backend.use(None)
    yield
    backend.use(None)
    slot_bell.close()


class Around(Stage):
    """Runs the flows of our `flow_file.py` on real agents; scripts talk to a real server."""

    url = ""
    key = ""

    def new(self, flow: str, **parameters: object) -> FlowRun:
        path, entrypoint = str(FLOW_FILE.parent), f"flow_file.py:{flow}"
        deployment = make_deployment("prod", flow.replace("_", "-"), path=path, entrypoint=entrypoint)
        return create_flow_run(deployment, parameters=parameters)

    def serve(self) -> None:
        """Start a server, and make an API key for it."""
        port = free_port()
        self.stack.start("serve", "--port", str(port)).wait_for("Serving on")
        default = Workspace.objects.get(name="default")
        user = get_user_model().objects.create_user("ada")
        Membership.objects.create(user=user, workspace=default, role="editor")
        self.url, self.key = f"http://127.0.0.1:{port}/api", create_token(user, default)[1]

    def script(self, file: Path) -> "subprocess.Popen[str]":
        """Start a Python script that knows the server."""
        known = {"PORTAL_API_URL": self.url, "PORTAL_API_KEY": self.key, "PYTHONPATH": str(PROJECT)}
        return subprocess.Popen(
            [sys.executable, file.name],
            cwd=file.parent,
            env={**self.stack.env, **known},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )


@pytest.fixture
def around(stack: RunningStack) -> Around:
    return Around(stack)


@pytest.fixture
def weather(
    live_server: LiveServer, transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Deployment]:
    """The deployment weather-report/seattle, on a server that this process reaches by HTTP."""
    default = default_workspace()
    user = get_user_model().objects.create_user("ada")
    Membership.objects.create(user=user, workspace=default, role="editor")
    monkeypatch.setenv("PORTAL_API_URL", f"{live_server.url}/api")
    monkeypatch.setenv("PORTAL_API_KEY", create_token(user, default)[1])
    yield deployment_in(default)
    if isinstance(reached := portal.reached(), portal.RemotePortal):
        reached.close()  # its thread in the server keeps a connection to the database that is dropped
