"""Recycling: an agent that has grown too large starts again, between two runs, under the same pid.

Runs are executed by forked processes, so what they leak ends with them. What grows in the parent
(preloaded modules, jobs of other RQ users) would be in every fork; starting again is the remedy.
"""

import os
import resource
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

ENDING = {signal.SIGTERM, signal.SIGINT}
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Recycling:
    """When to start again; 0 means never."""

    max_memory_mib: int = 0
    max_runs: int = 0

    def reason(self, runs: int) -> str:
        """Why it is time, after so many runs; empty if it is not. Never before the first run."""
        if not runs:
            return ""
        if self.max_runs and runs >= self.max_runs:
            return f"it has executed {runs} run(s)"
        if self.max_memory_mib and (used := resident_bytes() // MIB) > self.max_memory_mib:
            return f"it has {used} MiB in memory, more than {self.max_memory_mib}"
        return ""


def resident_bytes() -> int:
    """How much of this process is in memory, shared pages included."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def hold_signals() -> None:
    """Let signals that end the process wait until `allow_signals`, across `start_again`."""
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)


def allow_signals() -> None:
    """Receive the signals that waited, by handlers that are there by now."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)


def start_again() -> None:
    """Become a fresh process with the same command line, environment and pid. Does not return."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, sys.orig_argv)
