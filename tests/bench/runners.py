"""1,000 trivial tasks by `.map` with each task runner, inside an agent's flow run."""

from importlib.util import find_spec
from pathlib import Path

from tests.bench.figures import Figure
from tests.bench.runs import Bench

TASKS = 1_000

FLOW = """
import time
from flows import flow, get_run_logger, task
from flows.task_runners import (
    AgentsTaskRunner, DaskTaskRunner, ProcessPoolTaskRunner, RayTaskRunner, ThreadPoolTaskRunner,
)

RUNNERS = {
    "threads": lambda: ThreadPoolTaskRunner(),
    "processes": lambda: ProcessPoolTaskRunner(max_workers=2),
    "agents": lambda: AgentsTaskRunner(queue="bench-helpers", local_after=None),
    "Dask": lambda: DaskTaskRunner(cluster_kwargs={"n_workers": 2, "dashboard_address": "127.0.0.1:0"}),
    "Ray": lambda: RayTaskRunner(init_kwargs={
        "num_cpus": 2, "include_dashboard": False, "_node_ip_address": "127.0.0.1", "log_to_driver": False,
    }),
}

@task
def trivial(n: int) -> int:
    return n

@flow
def many(tasks: int) -> None:
    trivial.submit(0).result()  # the workers are there
    start = time.perf_counter()
    trivial.map(range(tasks)).result()
    get_run_logger().warning("%.0f tasks/s", tasks / (time.perf_counter() - start))

@flow
def spread(runner: str, tasks: int) -> None:
    many.with_options(task_runner=RUNNERS[runner]())(tasks)
"""

# Runner: the package that it needs.
RUNNERS = {"threads": "flows", "processes": "flows", "agents": "flows", "Dask": "distributed", "Ray": "ray"}


def measure(folder: Path) -> list[Figure]:
    with Bench(folder, "spread", FLOW) as bench:
        for _ in range(2):
            bench.stack.start("rqworker", "bench-helpers").wait_for("serves")
        return [_measured(bench, runner) for runner, package in RUNNERS.items() if find_spec(package)]


def _measured(bench: Bench, runner: str) -> Figure:
    from runs.models import Log

    run = bench.run(runner=runner, tasks=TASKS)
    line = Log.objects.filter(flow_run__root_run_id=run.id, level=30).order_by("timestamp").last()
    assert line is not None, (run.state_name, run.state_message)
    return Figure(f"{TASKS} tasks by map, {runner}", line.message)
