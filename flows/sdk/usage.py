"""What the processes of a run have used: CPU time and memory."""

import resource
from pathlib import Path
from resource import struct_rusage
from typing import TypedDict

# The kernel counts in KiB.
_KIB = 1024


class Usage(TypedDict):
    """Details of the state in which a process leaves its run; they are added up in the run's row."""

    cpu_seconds: float
    peak_memory_bytes: int


def of_this_process() -> Usage:
    """So far, by this process and those of its children that have ended."""
    itself = of(resource.getrusage(resource.RUSAGE_SELF))
    if peak := _own_peak():
        itself["peak_memory_bytes"] = peak
    children = of(resource.getrusage(resource.RUSAGE_CHILDREN))
    return Usage(
        cpu_seconds=itself["cpu_seconds"] + children["cpu_seconds"],
        peak_memory_bytes=max(itself["peak_memory_bytes"], children["peak_memory_bytes"]),
    )


def _own_peak() -> int:
    """What `getrusage` says also counts the program that started this one; this does not. 0: not known."""
    try:
        lines = Path("/proc/self/status").read_bytes().splitlines()
        [peak] = [line.split()[1] for line in lines if line.startswith(b"VmHWM:")]
    except (OSError, ValueError):
        return 0
    return int(peak) * _KIB


def of(usage: struct_rusage) -> Usage:
    """As `os.wait4` tells of a process that has ended."""
    return Usage(cpu_seconds=usage.ru_utime + usage.ru_stime, peak_memory_bytes=usage.ru_maxrss * _KIB)
