"""The server is killed, gets more than it takes, or talks to somebody who does not listen."""

import random
import socket
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from flows.sdk.ids import uuid7
from portal.live.publisher import publish
from runs.announce import RunChanged
from runs.models import FlowRun
from tests.factories import default_workspace
from tests.faults.api import Api
from tests.faults.conftest import Stage
from tests.faults.invariants import resident_mib
from tests.processes import wait_until

pytestmark = pytest.mark.processes

KIB, MIB = 1 << 10, 1 << 20
RUNS = 24


def test_a_killed_server_loses_and_doubles_no_run(stage: Stage, dice: random.Random) -> None:
    api = Api(stage)
    stage.agent()
    deployment = stage.deployment("count")
    made: list[object] = []

    def create_all() -> None:
        for number in range(RUNS):
            made.append(api.create_run(deployment, f"key-{number}", folder=str(stage.folder)))

    client = Thread(target=create_all)
    client.start()
    for count in sorted(dice.sample(range(RUNS - 6), 3)):
        wait_until(lambda count=count: len(made) >= count, what=f"{count} runs are made")
        api.server.kill()
        api.start()
    client.join()

    assert len(set(made)) == FlowRun.objects.count() == RUNS
    for run in FlowRun.objects.all():
        assert stage.ended(run).state_type == "COMPLETED"
    assert (stage.folder / "executions").read_text() == "once\n" * RUNS


def test_parameters_that_are_too_large_are_refused_with_the_limit(stage: Stage) -> None:
    api = Api(stage)
    stage.agent()
    deployment = stage.deployment("measures")
    address = f"/api/deployments/{deployment.id}/create_flow_run"

    refused = api.client.post(address, json={"parameters": {"folder": "", "text": "x" * 10 * MIB}})
    assert refused.status_code == 413
    assert refused.json()["detail"] == "The body is larger than 4096 KiB."
    refused = api.client.post(address, json={"parameters": {"folder": "", "text": "x" * MIB}})
    assert refused.status_code == 409
    assert "larger than 512 KiB; pass a reference instead" in refused.json()["detail"]
    assert not FlowRun.objects.exists()

    api.create_run(deployment, "large", folder=str(stage.folder), text="x" * 500 * KIB)
    assert stage.ended(FlowRun.objects.get()).state_type == "COMPLETED"
    assert (stage.folder / "measured").read_text() == str(500 * KIB)


@pytest.fixture
def deaf_page(stage: Stage) -> Iterator[tuple[Api, socket.socket]]:
    """A page that has opened the socket of all runs, and reads nothing from it."""
    api = Api(stage)
    browser = Client()
    browser.force_login(get_user_model().objects.get())
    cookie = "; ".join(f"{name}={morsel.value}" for name, morsel in browser.cookies.items())
    page = socket.socket()
    page.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    page.settimeout(10)
    port = api.client.base_url.port
    page.connect(("127.0.0.1", port))
    page.sendall(
        f"GET /ws/runs HTTP/1.1\r\nHost: localhost:{port}\r\nOrigin: http://localhost:{port}\r\n"
        f"Cookie: {cookie}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    assert page.recv(12) == b"HTTP/1.1 101"
    yield api, page
    page.close()


def test_a_page_that_does_not_read_is_cut_off_and_costs_little(deaf_page: tuple[Api, socket.socket]) -> None:
    api, _ = deaf_page
    before = resident_mib(api.server.pid)
    workspace_id = default_workspace().id
    hints = 0

    def is_cut_off() -> bool:
        nonlocal hints
        for _ in range(100):
            publish(RunChanged(uuid7(), workspace_id, 2, "RUNNING", "Running"))
            hints += 1
        return not open_sockets(api.server.pid, api.client.base_url.port or 0)

    api.client.close()
    wait_until(is_cut_off, timeout=30, what="the server closes the socket")
    print(f"{hints} hints, {resident_mib(api.server.pid) - before} MiB")
    assert resident_mib(api.server.pid) - before < 50


def open_sockets(pid: int, port: int) -> int:
    """How many connections to `port` are open at the server's side."""
    lines = Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
    return sum(line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "01" for line in lines)
