"""Flows that go wrong. Each writes its process id to `<folder>/pid` when user code starts."""

import os
import signal
import subprocess
import time
from pathlib import Path

from flows import flow


def _started(folder: str) -> Path:
    path = Path(folder)
    (path / "pid.new").write_text(str(os.getpid()))
    (path / "pid.new").rename(path / "pid")
    return path


def _child(path: Path) -> None:
    """A process of the flow's own, which would outlive it if nobody looked after it."""
    child = subprocess.Popen(["sleep", "600"])
    (path / "child").write_text(str(child.pid))


@flow
def quick(folder: str) -> None:
    _started(folder)


@flow
def count(folder: str) -> None:
    """Leaves one line per execution."""
    with Path(folder, "executions").open("a") as lines:
        lines.write("once\n")


@flow
def hold(folder: str) -> None:
    """Runs until the file `go` appears."""
    path = Path(folder)
    _child(path)
    _started(folder)
    while not (path / "go").exists():
        time.sleep(0.02)


@flow
def stubborn(folder: str) -> None:
    """Ignores SIGTERM, and so does its child."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _child(Path(folder))
    _started(folder)
    while True:
        time.sleep(1)


@flow
def vanish(folder: str) -> None:
    """Ends the process behind everybody's back, with a friendly exit code."""
    _started(folder)
    os._exit(0)
