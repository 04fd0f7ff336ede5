"""1,000 trivial tasks by `.submit` in one flow run of an agent, until all of it is durable."""

import time
from pathlib import Path
from statistics import median

from tests.bench.figures import Figure
from tests.bench.runs import Bench

TASKS = 1_000
ROUNDS = 5

FLOW = """
from flows import flow, task

@task
def trivial(n: int) -> int:
    return n

@flow
def many(tasks: int) -> int:
    return sum(future.result() for future in [trivial.submit(n) for n in range(tasks)])
"""


def measure(folder: Path) -> list[Figure]:
    from runs.models import TaskRun

    rates: list[float] = []
    with Bench(folder, "many", FLOW) as bench:
        bench.run(tasks=10)
        for _ in range(ROUNDS):
            run = bench.run(tasks=TASKS)
            durable = TaskRun.objects.filter(flow_run=run, state_type="COMPLETED").count()
            assert (run.state_type, durable) == ("COMPLETED", TASKS), (run.state_type, durable)
            rates.append(TASKS / (run.end_time - run.start_time).total_seconds())
            time.sleep(0.5)
    value = f"{median(rates):,.0f} tasks/s (from {min(rates):,.0f} to {max(rates):,.0f})"
    return [Figure(f"{TASKS} tasks by submit, durable (n={ROUNDS})", value, ">= 1,500/s", "Prefect 21/s")]
