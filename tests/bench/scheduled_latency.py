"""From the moment at which a scheduled run is due until its first line of user code, warm idle agent."""

import os
from datetime import timedelta
from pathlib import Path

from tests.bench.figures import Figure, milliseconds
from tests.bench.runs import Bench

RUNS = 60

FLOW = """
import time
from flows import flow, runtime

@flow
def tick(pipe: str) -> None:
    now = time.time()
    due = runtime.flow_run.scheduled_start_time.timestamp()
    with open(pipe, "w") as writing:
        writing.write(repr(now - due))
"""


def measure(folder: Path) -> list[Figure]:
    """A schedule of one second, so that nobody rings but the scheduler."""
    from flows.models import Schedule
    from runs.models import FlowRun

    pipe = folder / "ticks"
    os.mkfifo(pipe)
    with Bench(folder, "tick", FLOW) as bench:
        bench.stack.start("scheduler").wait_for("Scheduler started")
        schedule = Schedule.objects.create(
            deployment=bench.deployment, interval=timedelta(seconds=1), parameters={"pipe": str(pipe)}
        )
        taken = [float(pipe.read_text()) for _ in range(RUNS + 2)]
        schedule.active = False
        schedule.save()
    rows = FlowRun.objects.filter(schedule=schedule, start_time__isnull=False).order_by("slot")[2 : RUNS + 2]
    claims = [(row.claimed_time - row.expected_start_time).total_seconds() for row in rows]
    return [
        milliseconds(
            "scheduled run: due -> user code",
            taken[2:],
            "p50 <= 35, p95 <= 100 ms",
            "Prefect 7 s; RQ fork 13 ms",
        ),
        milliseconds("  due -> claimed", claims),
    ]
