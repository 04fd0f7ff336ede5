"""What the processes of a run have used: CPU time and memory."""

import resource
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
    children = of(resource.getrusage(resource.RUSAGE_CHILDREN))
    return Usage(
        cpu_seconds=itself["cpu_seconds"] + children["cpu_seconds"],
        peak_memory_bytes=max(itself["peak_memory_bytes"], children["peak_memory_bytes"]),
    )


def of(usage: struct_rusage) -> Usage:
    """As `os.wait4` tells of a process that has ended."""
    return Usage(cpu_seconds=usage.ru_utime + usage.ru_stime, peak_memory_bytes=usage.ru_maxrss * _KIB)
