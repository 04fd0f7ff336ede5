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
LOST = (5, 20)
LOAD = 400  # trivial runs that wait meanwhile

FLOW = """
import os, time
from flows import flow

@flow(crash_retries=1)
def hold(pipe: str) -> None:
    with open(pipe, "w") as writing:
        writing.write(str(os.getpid()))
    while os.path.exists(pipe):
        time.sleep(0.01)

@flow
def trivial(): ...
"""


def measure(folder: Path) -> list[Figure]:
    with Bench(folder, "hold", FLOW) as bench:
        bench.stack.start("scheduler").wait_for("Scheduler")
        times = [_kill_once(bench, folder / f"pipe-{number}") for number in range(KILLS)]
        lost = [(count, _lose(bench, count)) for count in LOST]
    crashed, again = zip(*times, strict=True)
    return [
        _seconds("killed agent -> run Crashed", crashed),
        _seconds("killed agent -> user code runs again", again),
        *(_seconds(f"{runs} agents lost at once under load -> run Crashed", spent) for runs, spent in lost),
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


def _lose(bench: Bench, count: int) -> tuple[float, ...]:
    """How long the runs of so many agents that fall silent read Pending, while others work at full speed."""
    from agents.claim import claim
    from agents.registry import Identity, beat, resolve
    from runs.create import create_flow_run
    from runs.models import FlowRun
    from runs.session import DjangoSession
    from tests.factories import make_deployment

    code = {"path": bench.deployment.path, "entrypoint": "hold.py:trivial"}
    load = make_deployment(f"load-{count}", "trivial", resolve(bench.queue), **code)
    elsewhere = resolve(f"lost-{count}")
    lost = make_deployment(f"lost-{count}", "trivial", elsewhere, **code)
    runs = [create_flow_run(lost) for _ in range(count)]
    for _ in range(LOAD):
        create_flow_run(load)
    for number in range(count):
        agent = Identity(name=f"lost-{number}", queue_ids=(elsewhere.id,))
        beat(DjangoSession(), agent)
        claim(DjangoSession(), agent.id, agent.queue_ids)
    ended = FlowRun.objects.filter(id__in=[run.id for run in runs], crash_count=1)
    wait_until(lambda: ended.count() == count, 60, what="all are Crashed")
    return tuple(_crashed_at(run) - run.claimed_time.timestamp() for run in ended)


def _crashed_at(run: Any) -> float:
    return float(run.states.get(type="CRASHED").timestamp.timestamp())


def _seconds(name: str, values: tuple[float, ...]) -> Figure:
    text = f"p50 {median(values):.1f} s, max {max(values):.1f} s"
    return Figure(f"{name} (n={len(values)})", text, "<= 10 s", "Prefect never")
