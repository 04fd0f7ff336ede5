"""Trivial flow runs through two agents: from the first claim until the last end."""

from pathlib import Path

from tests.bench.figures import Figure
from tests.bench.runs import Bench
from tests.processes import wait_until

RUNS = 300
AGENTS = 2
LONGEST = 120.0

FLOW = """
from flows import flow

@flow
def nothing() -> None: ...
"""


def measure(folder: Path) -> list[Figure]:
    with Bench(folder, "nothing", FLOW, agents=AGENTS) as bench:
        for _ in range(AGENTS):
            bench.run()
        rate = runs_per_second(bench, RUNS)
    name = f"trivial flow runs through {AGENTS} agents (n={RUNS})"
    return [Figure(name, f"{rate:.1f}/s", ">= 30/s, stretch 40/s", "Prefect 0.37/s")]


def runs_per_second(bench: Bench, count: int) -> float:
    """How many of `count` runs that are all due at once are completed in a second."""
    from django.db.models import Max, Min

    from runs.create import create_flow_run
    from runs.models import FlowRun

    ids = [create_flow_run(bench.deployment).id for _ in range(count)]
    runs = FlowRun.objects.filter(id__in=ids)
    wait_until(lambda: not runs.exclude(state_type="COMPLETED").exists(), LONGEST, what="all runs end")
    first, last = runs.aggregate(Min("claimed_time"), Max("end_time")).values()
    return count / float((last - first).total_seconds())
