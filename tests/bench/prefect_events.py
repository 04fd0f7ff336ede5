"""Events of task runs through `/api/events/in`, from the first frame until the pong that says "stored"."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from tests.bench.figures import Figure
from tests.bench.log_lines import serve
from tests.bench.runs import Bench

if TYPE_CHECKING:
    from runs.models import FlowRun

EVENTS = 5_000
ROUNDS = 5
SOCKETS = 4
FLOW = "from flows import flow\n\n@flow\ndef quiet() -> None:\n    pass\n"


def measure(folder: Path) -> list[Figure]:
    from tests.prefect.runs import prefect_run

    with Bench(folder, "quiet", FLOW, agents=0) as bench:
        url, key = serve(bench)
        port = int(url.removesuffix("/api").rpartition(":")[2])
        one = [_rate(port, key, [_frames(prefect_run())]) for _ in range(ROUNDS)]
        several = [_rate(port, key, [_frames(prefect_run()) for _ in range(SOCKETS)]) for _ in range(ROUNDS)]
    return [
        _figure(f"{EVENTS:,} events of task runs by one socket, until stored", one),
        _figure(f"{SOCKETS} x {EVENTS:,} by {SOCKETS} sockets at once", several),
    ]


def _frames(run: "FlowRun") -> list[str]:
    """Two states of each task run, as text."""
    from flows.sdk.ids import uuid7
    from tests.prefect.sockets import task_event

    ids = [uuid7() for _ in range(EVENTS // 2)]
    return [
        json.dumps(task_event(run, state, task_run_id=id, dynamic_key=str(n), seconds=second))
        for state, second in (("Running", 1), ("Completed", 2))
        for n, id in enumerate(ids)
    ]


def _rate(port: int, key: str, batches: list[list[str]]) -> float:
    """Events a second, over all sockets."""
    start = time.perf_counter()
    with ThreadPoolExecutor(len(batches)) as threads:
        list(threads.map(lambda frames: _send(port, key, frames), batches))
    return sum(map(len, batches)) / (time.perf_counter() - start)


def _send(port: int, key: str, frames: list[str]) -> None:
    from tests.prefect.sockets import ClientSocket

    with ClientSocket(port, "events/in", key) as socket:
        for frame in frames:
            socket.say(frame)
        socket.settle()


def _figure(name: str, rates: list[float]) -> Figure:
    value = f"{median(rates):,.0f} events/s (from {min(rates):,.0f} to {max(rates):,.0f})"
    return Figure(f"{name} (n={len(rates)})", value)
