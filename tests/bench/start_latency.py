"""From the HTTP call that creates a run until its first line of user code, with a warm idle agent."""

import itertools
import os
import time
from pathlib import Path
from typing import Any

import httpx

from tests.bench.figures import Figure, milliseconds
from tests.bench.runs import Bench
from tests.processes import free_port

RUNS = 100
STEPS = ("created", "claimed_time", "forked_time", "loaded_time", "start_time")

FLOW = """
import time
from flows import flow

@flow
def stamp(pipe: str) -> None:
    now = time.time()
    with open(pipe, "w") as writing:
        writing.write(repr(now))
"""


def measure(folder: Path) -> list[Figure]:
    from runs.models import FlowRun

    pipe = folder / "pipe"
    os.mkfifo(pipe)
    with Bench(folder, "stamp", FLOW) as bench:
        client = _client(bench)
        url = f"/api/deployments/{bench.deployment.id}/create_flow_run"
        taken: list[float] = []
        runs: list[str] = []
        for _ in range(RUNS + 1):
            bench.rest()
            before = time.time()
            answer = client.post(url, json={"parameters": {"pipe": str(pipe)}})
            answer.raise_for_status()
            taken.append(float(pipe.read_text()) - before)
            runs.append(answer.json()["id"])
    rows = list(FlowRun.objects.in_bulk(runs[1:]).values())
    total = milliseconds(
        "create-run call -> user code",
        taken[1:],
        "p50 <= 50, p95 <= 150 ms",
        "Prefect 7 s; RQ fork 13 ms",
    )
    return [total, *_steps(rows)]


def _client(bench: Bench) -> httpx.Client:
    """A client of a server of our own, with a token."""
    from django.contrib.auth import get_user_model

    from portal.access.tokens import create_token

    user = get_user_model().objects.create_superuser("bench")
    _, token = create_token(user, bench.deployment.workspace, "bench")
    port = free_port()
    server = bench.stack.start("serve", "--port", str(port))
    server.wait_for("Serving on")
    client = httpx.Client(
        base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {token}"}, timeout=10
    )
    client.get("/api/flow_runs/").raise_for_status()
    return client


def _steps(rows: list[Any]) -> list[Figure]:
    return [
        milliseconds(
            f"  {earlier} -> {later}",
            [(getattr(row, later) - getattr(row, earlier)).total_seconds() for row in rows],
        )
        for earlier, later in itertools.pairwise(STEPS)
    ]
