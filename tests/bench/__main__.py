"""`make bench`: measure, and print the figures. `python -m tests.bench NAME ...` runs only those."""

import importlib
import platform
import sys

from tests.bench.figures import Figure, table
from tests.bench.servers import durable_servers

BENCHMARKS = (
    "import_time",
    "stack_start",
    "start_latency",
    "scheduled_latency",
    "schedule_burst",
    "claim_cost",
    "run_throughput",
    "task_throughput",
    "task_overhead",
    "log_lines",
    "runners",
    "recovery",
    "cancellation",
    "prefect",
    "backfill_plan",
    "prefect_events",
)


def main(names: list[str]) -> None:
    unknown = set(names) - set(BENCHMARKS)
    if unknown:
        sys.exit(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    figures: list[Figure] = []
    try:
        with durable_servers() as folder:
            for name in names or BENCHMARKS:
                print(f"measuring {name} ...", file=sys.stderr, flush=True)
                figures += importlib.import_module(f"tests.bench.{name}").measure(folder)
    finally:  # also what was measured before one failed: all together take a quarter of an hour
        print(f"\nPython {platform.python_version()} on {platform.machine()}, durable commits (fsync on)\n")
        print(table(figures))


if __name__ == "__main__":
    main(sys.argv[1:])
