"""Flows that work while everything breaks. Each leaves a line per execution, and is to be Completed."""

import subprocess
import sys
import time
from pathlib import Path

from flows import flow, get_run_logger, pause_flow_run, suspend_flow_run, task
from flows.concurrency import concurrency
from flows.runtime import flow_run
from flows.task_runners import AgentsTaskRunner

CRASH_RETRIES = 50


def _note(folder: str) -> None:
    with Path(folder, "executions").open("a") as lines:
        lines.write(f"{flow_run.id}\n")


@task
def work(step: int) -> int:
    time.sleep(0.05)
    return step


@task(retries=1)
def stumbles(folder: str, step: int) -> int:
    """Fails at its first try; which one that is, a file remembers."""
    mark = Path(folder, f"stumbled-{flow_run.id}-{step}")
    if not mark.exists():
        mark.touch()
        raise RuntimeError("the first try")
    return step


@flow(crash_retries=CRASH_RETRIES)
def steps(folder: str) -> int:
    """Some tasks, and numbered lines between them."""
    _note(folder)
    logger = get_run_logger()
    for step in range(10):
        work(step)
        logger.info("line %d of 10", step + 1)
    return stumbles(folder, 1)


@flow(crash_retries=CRASH_RETRIES)
def spreads_out(folder: str) -> int:
    """Many tasks at once."""
    _note(folder)
    results: list[int] = work.map(range(30)).result()
    return sum(results)


@flow
def part(number: int) -> int:
    return work(number)


@flow(crash_retries=CRASH_RETRIES)
def nests(folder: str) -> int:
    """Subflows in its own process."""
    _note(folder)
    return sum(part(number) for number in range(4))


@flow(crash_retries=CRASH_RETRIES)
def queues_up(folder: str) -> None:
    """Goes through a gate for one."""
    _note(folder)
    with concurrency("gate"):
        time.sleep(0.3)


@flow(crash_retries=CRASH_RETRIES, task_runner=AgentsTaskRunner(local_after=0.2))
def sends_out(folder: str) -> int:
    """Tasks that other agents carry out, if they have time. One whose process is killed is tried again."""
    _note(folder)
    results: list[int] = work.with_options(retries=CRASH_RETRIES).map(range(6)).result()
    return sum(results)


DAEMON = """
import os, time
if os.fork():
    os._exit(0)
os.setsid()
time.sleep(3600)
"""


@flow(crash_retries=CRASH_RETRIES)
def lets_go(folder: str) -> None:
    """Starts a daemon, which is to be gone when the run is over; its command line names the run."""
    _note(folder)
    subprocess.run([sys.executable, "-c", DAEMON, f"daemon of {folder}"], check=True)
    time.sleep(0.5)


@flow(crash_retries=CRASH_RETRIES, retries=2, retry_delay_seconds=0.5)
def fails_first(folder: str) -> None:
    """Is tried again in its own process, so it is executed twice in an attempt, and notes nothing."""
    stumbles.with_options(retries=0)(folder, 2)


@flow(crash_retries=CRASH_RETRIES)
def ticks(folder: str) -> None:
    """What the schedule starts."""
    _note(folder)


@flow(crash_retries=CRASH_RETRIES)
def pauses(folder: str) -> None:
    """Waits in its process until the customer lets it go on."""
    _note(folder)
    pause_flow_run(timeout=600)


@flow(crash_retries=CRASH_RETRIES)
def suspends(folder: str) -> None:
    """Waits without a process, and then begins anew."""
    _note(folder)
    suspend_flow_run(timeout=600, key="once")


@task(retries=CRASH_RETRIES)
def jot(folder: str) -> None:
    Path(folder, "jotted").touch()


@task(retries=CRASH_RETRIES, retry_delay_seconds=0.5)
def delegate(folder: str) -> None:
    jot.delay(folder)


@flow(crash_retries=CRASH_RETRIES)
def delegates(folder: str) -> None:
    """Leaves something to be done in the background."""
    _note(folder)
    delegate(folder)


@flow(crash_retries=CRASH_RETRIES)
def fills_in(folder: str) -> None:
    """What backfills start."""
    _note(folder)
    work(1)


LOAD = (
    steps, spreads_out, nests, queues_up, sends_out, lets_go, fails_first, pauses, suspends, delegates,
)  # fmt: skip
ISOLATED = (steps, nests, queues_up, pauses)
