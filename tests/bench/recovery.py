"""From the kill of an agent until its run reads Crashed, and until another agent executes it again."""

import os
import time
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.figures import Figure
from tests.bench.runs import Bench
from tests.processes import wait_until

KILLS = 10

FLOW = """
import os, time
from flows import flow

@flow(crash_retries=1)
def hold(pipe: str) -> None:
    with open(pipe, "w") as writing:
        writing.write(str(os.getpid()))
    while os.path.exists(pipe):
        time.sleep(0.01)
"""


def measure(folder: Path) -> list[Figure]:
    with Bench(folder, "hold", FLOW) as bench:
        bench.stack.start("scheduler").wait_for("Scheduler")
        times = [_kill_once(bench, folder / f"pipe-{number}") for number in range(KILLS)]
    crashed, again = zip(*times, strict=True)
    return [
        _seconds("killed agent -> run Crashed", crashed),
        _seconds("killed agent -> user code runs again", again),
    ]


def _kill_once(bench: Bench, pipe: Path) -> tuple[float, float]:
    """Kill the agent that executes a run, with its horse, while another waits for work."""
    from runs.create import create_flow_run
    from runs.models import FlowRun

    os.mkfifo(pipe)
    run = create_flow_run(bench.deployment, parameters={"pipe": str(pipe)})
    pipe.read_text()
    wait_until(lambda: FlowRun.objects.filter(id=run.id, state_type="RUNNING").exists())
    busy = bench.agents[0]
    bench.agents = [bench.start_agent()]
    killed = time.time()
    busy.kill()
    pipe.read_text()
    again = time.time() - killed
    pipe.unlink()
    return _crashed_at(run) - killed, again


def _crashed_at(run: Any) -> float:
    return float(run.states.get(type="CRASHED").timestamp.timestamp())


def _seconds(name: str, values: tuple[float, ...]) -> Figure:
    text = f"p50 {median(values):.1f} s, max {max(values):.1f} s"
    return Figure(f"{name} (n={len(values)})", text, "<= 10 s", "Prefect never")
