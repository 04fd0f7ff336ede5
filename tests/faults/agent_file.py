"""Flows for the life of agents. `<folder>/events` says what was done, a line each."""

import asyncio
import os
import signal
import subprocess
import sys
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


@flow
def works(folder: str) -> None:
    """Takes memory and CPU time, itself and in a child."""
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    hoard = bytearray(b"x" * 150_000_000)
    subprocess.run([sys.executable, "-c", burn], check=True)
    while time.process_time() < 0.3:
        pass
    del hoard
    _started(folder)


@flow
def dies_of_work(folder: str) -> None:
    """The same, and reports nothing."""
    hoard = bytearray(b"x" * 150_000_000)
    while time.process_time() < 0.3:
        pass
    _started(folder)
    os._exit(len(hoard) % 2)


# Ignores what can be ignored, leaves group and session, and forgets its parent.
DAEMON = """
import os, signal, sys, time
from pathlib import Path
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
if os.fork():
    os._exit(0)
os.setsid()
if os.fork():
    time.sleep(600)
file = Path(sys.argv[1])
file.with_suffix(".new").write_text(f"{os.getppid()} {os.getpid()}")
file.with_suffix(".new").rename(file)
time.sleep(600)
"""


@flow
def daemonic(folder: str) -> None:
    """Lets two daemons go, and waits for the file `go`; deaf to SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    path = Path(folder)
    subprocess.run([sys.executable, "-c", DAEMON, str(path / "daemons")], env={}, check=True)
    while not (path / "daemons").exists():
        time.sleep(0.02)
    _started(folder)
    while not (path / "go").exists():
        time.sleep(0.02)


@flow
def forks_a_daemon(folder: str) -> None:
    """Lets a daemon go that is no program of its own, without any open file; waits for the file `go`."""
    path = Path(folder)
    if os.fork() == 0:
        os.setsid()
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        (path / "daemons.new").write_text(str(os.getpid()))
        (path / "daemons.new").rename(path / "daemons")
        os.closerange(0, 1000)
        time.sleep(600)
        os._exit(0)
    while not (path / "daemons").exists():
        time.sleep(0.02)
    _started(folder)
    while not (path / "go").exists():
        time.sleep(0.02)
