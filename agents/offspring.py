"""The processes that a run leaves behind: found by who their parent is, and ended.

An agent is the subreaper of everything below it. A process whose own parent has ended becomes its child,
also one that left its group and session, as daemons do. So once a horse is gone, every child of the
agent that it does not know of was left behind by the run.
"""

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Collection
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)
# A process that was sent SIGKILL may still be in a system call, on a disk that hangs for example.
_PATIENCE_SECONDS = 1.0


def adopt_orphans() -> None:
    """From now on, be the parent of every process below this one whose own parent ends."""
    if _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")


def children() -> set[int]:
    """The pids of this process's children, zombies included; of all its threads."""
    tasks = Path("/proc/self/task")
    found: set[int] = set()
    for task in tasks.iterdir():
        with contextlib.suppress(OSError):
            found.update(map(int, (task / "children").read_text().split()))
    return found


def end_orphans(known: Collection[int]) -> int:
    """Kill and reap all children but the `known`, and their children in turn; return how many there were.

    A killed parent's children become ours, so this goes on until there are none; one that is killed and
    does not end within a second is left to the next call.
    """
    ended = 0
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while (orphans := children() - set(known)) and time.monotonic() < deadline:
        for pid in orphans:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        gone = sum(_reap(pid) for pid in orphans)
        ended += gone
        if not gone:
            time.sleep(0.005)
    return ended


def _reap(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True
