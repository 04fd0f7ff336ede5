"""The guard, over real processes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agents.guard import Guard
from tests.processes import PATIENCE, descendants, wait_until

pytestmark = pytest.mark.processes

# A parent that makes a child with a group of its own, guards it, says who they are, and waits.
PARENT = """
import os, signal, sys, time
from agents.guard import Guard, die_with_parent
parent = os.getpid()
horse = os.fork()
if horse == 0:
    os.setpgid(0, 0)
    die_with_parent(parent)
    os.posix_spawn("/bin/sleep", ["sleep", "600"], {})  # a grandchild of the parent
    time.sleep(600)
os.setpgid(horse, horse)
guard = Guard(horse)
print("ready", flush=True)
time.sleep(600)
"""


def sleeper() -> "subprocess.Popen[bytes]":
    return subprocess.Popen(["sleep", "600"], process_group=0)


def test_the_death_of_the_parent_ends_the_whole_group() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None and parent.stdout.readline() == "ready\n"
    below = wait_until(lambda: (found := descendants(parent.pid)) and len(found) == 3 and found)

    parent.kill()
    parent.wait()

    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in below))


def test_closing_ends_what_is_left_of_the_group_and_leaves_no_zombie() -> None:
    horse = sleeper()
    before = descendants(os.getpid())
    guard = Guard(horse.pid)
    guard.close()
    assert horse.wait(PATIENCE) == -signal.SIGKILL
    assert descendants(os.getpid()) <= before


def test_the_guard_outlives_the_signals_that_a_group_may_get() -> None:
    """Otherwise a flow that signals its own group would rid itself of its guard."""
    horse = sleeper()
    guard = Guard(horse.pid)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        os.killpg(horse.pid, number)
    horse.wait(PATIENCE)
    child = subprocess.Popen(["sleep", "600"], process_group=horse.pid)  # only if the group still exists
    guard.close()
    assert child.wait(PATIENCE) == -signal.SIGKILL
