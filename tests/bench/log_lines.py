"""10,000 log lines of one run, from the first call of the logger until the API shows the last line."""

import os
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from flows.sdk.client import ApiClient
from tests.bench.figures import Figure
from tests.bench.runs import Bench
from tests.processes import PROJECT, answers, free_port, wait_until

LINES = 10_000
ROUNDS = 5
LONGEST = 60.0  # seconds
PAGE = 1_000

FLOW = f"""
from flows import flow, get_run_logger

@flow
def chatty() -> None:
    log = get_run_logger()
    for number in range({LINES}):
        log.info("line %d", number)
"""


def measure(folder: Path) -> list[Figure]:
    from runs.create import create_flow_run

    with Bench(folder, "chatty", FLOW) as bench:
        url, key = serve(bench)
        client = ApiClient(url, key)
        in_agent = [rate_of(client, create_flow_run(bench.deployment).id) for _ in range(ROUNDS)]
        in_script = [_of_a_script(client, folder, url, key) for _ in range(ROUNDS)]
        reading = _reading(client, _newest_run())
    return [
        _figure("log lines of an agent's run, until readable through the API", in_agent, ">= 20,000/s"),
        _figure("log lines of a script over HTTP, until readable there", in_script, ">= 20,000/s"),
        Figure(f"{LINES:,} log lines read through the API, by {PAGE:,}", f"{reading:,.0f} lines/s"),
    ]


def serve(bench: Bench) -> tuple[str, str]:
    """Start a server beside the agent; its address, and a key."""
    from django.contrib.auth import get_user_model

    from flows.models import Workspace
    from portal.access.tokens import create_token

    port = free_port()
    bench.stack.start("serve", "--port", str(port))
    wait_until(lambda: answers(port), LONGEST, what="the server answers")
    user, _ = get_user_model().objects.get_or_create(username="bench", is_superuser=True)
    return f"http://127.0.0.1:{port}/api", create_token(user, Workspace.objects.get(name="default"))[1]


def rate_of(client: ApiClient, run_id: Any) -> float:
    """Lines a second, once the last one is readable."""
    deadline = time.monotonic() + LONGEST
    while not _is_last(client, run_id):
        assert time.monotonic() < deadline, f"no last line within {LONGEST:g} s"
        time.sleep(0.01)
    end = time.time()
    first = client.get("logs/", flow_run=run_id, limit=20)["results"]
    began = next(line["timestamp"] for line in first if line["message"] == "line 0")
    return LINES / (end - datetime.fromisoformat(began).timestamp())


def _is_last(client: ApiClient, run_id: Any) -> bool:
    lines = client.get("logs/", flow_run=run_id, ordering="-timestamp", limit=3)["results"]
    return any(line["message"] == f"line {LINES - 1}" for line in lines)


def _of_a_script(client: ApiClient, folder: Path, url: str, key: str) -> float:
    file = folder / "chatty_script.py"
    file.write_text(f"{FLOW}\nchatty()\n")
    known = {"PORTAL_API_URL": url, "PORTAL_API_KEY": key, "PYTHONPATH": str(PROJECT)}
    before = _newest_run()
    with (folder / "script.log").open("w") as log:
        script = subprocess.Popen([sys.executable, str(file)], env={**os.environ, **known}, stderr=log)
        while (run_id := _newest_run()) == before:
            time.sleep(0.005)
        rate = rate_of(client, run_id)
        assert script.wait(LONGEST) == 0
    return rate


def _newest_run() -> Any:
    from runs.models import FlowRun

    return FlowRun.objects.order_by("-created").values_list("id", flat=True).first()


def _reading(client: ApiClient, run_id: Any) -> float:
    start, count, after = time.perf_counter(), 0, ""
    while count < LINES:
        page = client.get("logs/", flow_run=run_id, limit=PAGE, **({"after": after} if after else {}))
        count, after = count + len(page["results"]), page["results"][-1]["id"]
    return count / (time.perf_counter() - start)


def _figure(name: str, rates: list[float], goal: str) -> Figure:
    value = f"{median(rates):,.0f} lines/s (from {min(rates):,.0f} to {max(rates):,.0f})"
    return Figure(f"{LINES:,} {name} (n={len(rates)})", value, goal, "Prefect 1,090/s")
