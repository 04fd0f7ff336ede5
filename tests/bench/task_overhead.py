"""What the engine adds to a call: in memory, and inside an agent's flow run with its recorder."""

import time
from collections.abc import Callable
from pathlib import Path

from flows import flow, task
from tests.bench.figures import Figure
from tests.bench.runs import Bench

FLOW = """
import time
from pathlib import Path
from flows import flow, get_run_logger, task

@task
def trivial(n: int) -> int:
    return n

@flow
def child(n: int) -> int:
    return n

def memory() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4 / 1024

@flow
def overhead(what: str, count: int) -> None:
    log = get_run_logger()
    before, start = memory(), time.perf_counter()
    if what == "map":
        trivial.map(range(count)).result()
    else:
        call = {"task": trivial, "subflow": child, "log": lambda n: log.info("line %d", n)}[what]
        for n in range(count):
            call(n)
    seconds = time.perf_counter() - start
    log.warning("%.3f ms each, memory +%.0f MiB", seconds / count * 1e3, memory() - before)
"""

IN_AN_AGENT = (
    ("task", 10_000, "<= 0.5 ms", "Prefect 3.4 ms"),
    ("map", 1_000, ">= 4,000/s", ""),
    ("map", 10_000, ">= 4,000/s, <= 60 MiB", ""),
    ("subflow", 100, "<= 8 ms", "Prefect 1,100 ms"),
    ("log", 10_000, ">= 20,000/s", "Prefect 1,090/s"),
)


def measure(folder: Path) -> list[Figure]:
    with Bench(folder, "overhead", FLOW) as bench:
        bench.run(what="task", count=10)
        return [
            *_in_memory(),
            *(_in_an_agent(bench, what, count, *texts) for what, count, *texts in IN_AN_AGENT),
        ]


def _in_memory(count: int = 2_000) -> list[Figure]:
    @task
    def trivial(n: int) -> int:
        return n

    @flow
    def nothing() -> None: ...

    @flow
    def many() -> None:
        for n in range(count):
            trivial(n)

    nothing()
    per_flow = _seconds(lambda: [nothing() for _ in range(count)]) / count
    per_task = _seconds(many) / count
    return [
        Figure("flow call in memory", f"{per_flow * 1e3:.3f} ms", "<= 1 ms"),
        Figure("task call in memory", f"{per_task * 1e3:.3f} ms"),
    ]


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _in_an_agent(bench: Bench, what: str, count: int, goal: str, beside: str) -> Figure:
    from runs.models import Log

    run = bench.run(what=what, count=count)
    seconds = (run.end_time - run.start_time).total_seconds()
    measured = Log.objects.get(flow_run=run, level=30).message
    return Figure(
        f"{count} x {what} in an agent", f"{count / seconds:,.0f}/s durable, {measured}", goal, beside
    )
