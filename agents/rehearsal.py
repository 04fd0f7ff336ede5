"""A run of nothing, in a horse that stands by: what the first run of a process touches is then its own.

A forked process copies each page of its agent's memory when it first writes to it, and Python counts
references in what it only reads. For the pages that a run needs this takes some 3 ms, which no run then waits
for.
"""

from flows.sdk.engine import run_flow
from flows.sdk.flows import flow
from flows.sdk.ids import uuid7
from flows.sdk.memory import MemoryRecorder
from flows.sdk.recorder import FlowRunInfo


def rehearse() -> None:
    """Run a flow that does nothing, and is seen by nobody."""
    run = FlowRunInfo(uuid7(), "rehearsal", nothing.name, {"parameter": "value"})
    run_flow(nothing, run.parameters, recorder=MemoryRecorder(limit=0), run=run)


@flow
def nothing(parameter: str) -> None:
    """What is rehearsed."""
