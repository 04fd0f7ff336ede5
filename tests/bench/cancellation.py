"""From the call that cancels a run until none of its processes is left."""

import os
import time
from functools import partial
from pathlib import Path

from tests.bench.figures import Figure, milliseconds
from tests.bench.runs import Bench
from tests.processes import wait_until

CANCELS = 5
GRACE = 2.0  # seconds

FLOW = """
import os, signal, time
from flows import flow

@flow
def cancelled(pipe: str, listens: bool) -> None:
    if not listens:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = os.fork()
    if child == 0:
        while True:
            time.sleep(1)
    with open(pipe, "w") as writing:
        writing.write(f"{os.getpid()} {child}")
    while True:
        time.sleep(0.01)
"""


def measure(folder: Path) -> list[Figure]:
    with Bench(folder, "cancelled", FLOW, agents=0) as bench:
        bench.stack.env["PORTAL_CANCEL_GRACE_SECONDS"] = f"{GRACE:g}"
        bench.start_agent()
        spent = partial(_spent, bench, folder / "pids")
        listening = [spent(listens=True) for _ in range(CANCELS)]
        deaf = [spent(listens=False) - GRACE for _ in range(CANCELS)]
        killed = [spent(listens=False, force=True) for _ in range(CANCELS)]
    return [
        milliseconds("cancel -> a flow that listens and its child are dead", listening),
        milliseconds("cancel -> a flow that ignores signals is dead, after grace", deaf, "<= 2 s"),
        milliseconds("cancel with force -> flow and child are dead", killed),
    ]


def _spent(bench: Bench, pipe: Path, listens: bool, force: bool = False) -> float:
    """Cancel a run that has started; the seconds until it and its child are gone."""
    from runs.cancel import cancel
    from runs.create import create_flow_run
    from runs.session import DjangoSession

    os.mkfifo(pipe)
    run = create_flow_run(bench.deployment, parameters={"pipe": str(pipe), "listens": listens})
    processes = [int(pid) for pid in pipe.read_text().split()]
    pipe.unlink()
    asked = time.monotonic()
    cancel(DjangoSession(), run.id, "bench", force)
    wait_until(lambda: not any(map(_is_alive, processes)), what="no process is left")
    return time.monotonic() - asked


def _is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()
