"""The agents of `serve`: processes beside the one that serves, which end with it, however it ends."""

import ctypes
import os
import signal
import subprocess
import sys
from functools import partial

_PR_SET_PDEATHSIG = 1


def run_agents(queues: list[str], count: int) -> None:
    """Run agents until they end, and pass on what tells us to stop: they finish their runs, and so do we.

    Raises RuntimeError if one of them cannot go on.
    """
    command = [sys.executable, "-m", "portal", "rqworker", *queues]
    with_us = partial(_end_with, os.getpid(), ctypes.CDLL(None))
    # In groups of their own: a terminal would tell them twice, and the second time ends their runs, too.
    agents = [subprocess.Popen(command, start_new_session=True, preexec_fn=with_us) for _ in range(count)]

    def stop(*_: object) -> None:
        for agent in agents:
            agent.terminate()

    stops = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, stop) for number in stops}
    try:
        codes = [agent.wait() for agent in agents]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if any(codes):
        raise RuntimeError(f"An agent ended with exit code {max(codes, key=abs)}; it says why above.")


def _end_with(parent: int, libc: ctypes.CDLL) -> None:
    """In the child: the kernel tells it to stop as soon as its parent is gone, also by SIGKILL."""
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:  # it died before the kernel knew
        os._exit(1)
