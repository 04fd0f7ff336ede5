"""Flows that say where they are, talk to Portal, or use too much. Each run has a process of its own."""

import ctypes
import json
import os
import sys
import time
from pathlib import Path

from pydantic import BaseModel

from flows import flow, pause_flow_run, task
from flows.artifacts import create_markdown_artifact
from flows.input import send_input
from flows.variables import Variable


class Answer(BaseModel):
    approved: bool


@flow
def shows(folder: str) -> None:
    """Says where it is, and what it has been given."""
    arguments = Path("/proc/self/cmdline").read_text().split("\0")
    known = {"prefix": sys.prefix, "folder": str(Path.cwd()), "environment": dict(os.environ)}
    left = sys.stdin.read() if sys.stdin else ""
    seen = {**known, "arguments": arguments, "path": sys.path, "stdin": left}
    Path(folder, "seen").write_text(json.dumps(seen))


@task
def add(left: int, right: int) -> int:
    return left + right


@flow
def inner(number: int) -> int:
    return add(number, 1)


@flow
def works(folder: str) -> int:
    """Tasks, a subflow, a variable, an artifact, a line of log."""
    print("working")
    Variable.set("city", "Oslo", overwrite=True)
    assert Variable.get("city") == "Oslo"
    create_markdown_artifact("# done", key="note")
    return sum(add.map([1, 2, 3], 1).result()) + inner(1)


works = works.with_options(log_prints=True)


@task
def computed(folder: str) -> int:
    with Path(folder, "executions").open("a") as lines:
        lines.write("once\n")
    return 3


@flow
def stumbles(folder: str) -> int:
    """Fails after its task, the first time."""
    found = computed(folder)
    if not Path(folder, "go").exists():
        raise RuntimeError("not yet")
    return found


@flow
def asks(folder: str) -> bool:
    return pause_flow_run(wait_for_input=Answer, timeout=60, poll_interval=0.1).approved


@flow
def meddles(folder: str) -> None:
    """Sends something to a run that is none of its business."""
    send_input("hello", flow_run_id=Path(folder, "other").read_text())


@flow
def eats(folder: str) -> None:
    """Needs half a GiB."""
    bytearray(2**29)


@task
def waits(number: int) -> int:
    time.sleep(0.1)
    return 1


@flow
def spreads(folder: str) -> None:
    """Has more tasks at a time than there is memory for threads with their usual 8 MiB."""
    assert sum(waits.map(range(100)).result()) == 100


@flow
def dies(folder: str) -> None:
    """Complains as a library in C does, and dies of it."""
    os.write(2, b"libfoo: no such table\n")
    ctypes.string_at(0)


@task
def add_one(number: int) -> int:
    return number + 1


@flow
def hands_over(folder: str) -> None:
    """Hands a task in, and waits for what an agent makes of it."""
    Path(folder, "sum").write_text(str(add_one.delay(41).result(timeout=60)))


@flow
def spins(folder: str) -> None:
    """Computes for ever."""
    while True:
        sum(range(10**6))
