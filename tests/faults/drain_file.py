"""Flows for agents that are asked to stop. `<folder>/events` says what was done, a line each."""

import asyncio
import os
import signal
import time
from pathlib import Path

from flows import flow, pause_flow_run, task


def _note(folder: str, event: str) -> None:
    with Path(folder, "events").open("a") as lines:
        lines.write(f"{event}\n")


def _started(folder: str) -> None:
    path = Path(folder)
    (path / "pid.new").write_text(str(os.getpid()))
    (path / "pid.new").rename(path / "pid")


@task
def first_half(folder: str) -> int:
    _note(folder, "first half")
    return 1


@task
def second_half(folder: str) -> int:
    _note(folder, "second half")
    while not Path(folder, "go").exists():
        time.sleep(0.02)
    return 2


@flow
def in_halves(folder: str) -> None:
    """Waits for the file `go` in its second task; cleans up when it is ended before."""
    first_half(folder)
    _started(folder)
    try:
        second_half(folder)
    finally:
        _note(folder, "cleaned up")


@flow
async def in_a_loop(folder: str) -> None:
    """The same, without blocking its event loop."""
    _started(folder)
    try:
        while not Path(folder, "go").exists():
            await asyncio.sleep(0.02)
    finally:
        _note(folder, "cleaned up")


@flow
def deaf(folder: str) -> None:
    """Ignores every signal that can be ignored, until the file `go` appears."""
    for number in (signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    _started(folder)
    while not Path(folder, "go").exists():
        time.sleep(0.02)


@flow
def asks(folder: str) -> None:
    """Pauses until somebody answers."""
    _started(folder)
    pause_flow_run(timeout=600)
    _note(folder, "answered")
