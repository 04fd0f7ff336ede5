"""What a pool of type `process` wants of the processes of its runs, and whether this machine has it."""

import json
import shutil
import signal
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows.sdk.recorder import FlowRunInfo
from runs.session import Session

ISOLATION = """
SELECT p.name, p.python, p.environment, p.working_dir, p.memory_mb, p.cpu_seconds
FROM runs_flowrun r
JOIN agents_workqueue q ON q.id = r.work_queue_id
JOIN agents_workpool p ON p.id = q.work_pool_id
WHERE r.id = %s
"""


# How programs end that get no memory and do not expect that.
OUT_OF_MEMORY = (signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS)


class IsolationError(Exception):
    """The pool's settings do not work on this machine. The text says which, and what to do."""


@dataclass(frozen=True, slots=True)
class Isolation:
    """How a pool wants its processes.

    `python` is an interpreter or the folder of a virtual environment; empty: the agent's own. `working_dir`
    empty: the agent's. `memory_mb` (writable memory of its own, MiB) and `cpu_seconds` limit each process;
    None: no limit.
    """

    pool: str
    python: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    working_dir: str = ""
    memory_mb: int | None = None
    cpu_seconds: int | None = None

    def interpreter(self, default: str) -> str:
        """The absolute path of what to execute. Raises IsolationError if this machine does not have it."""
        if not self.python:
            return default
        named = Path(self.python).expanduser()
        found = shutil.which(named / "bin" / "python" if named.is_dir() else named)
        if found is None:
            raise IsolationError(
                f"{self._speaker()} wants the Python {self.python}, which is not there or cannot be "
                "executed. Install it on that machine, or change the pool."
            )
        return str(Path.cwd() / found)  # not resolved: a virtual environment's is a link

    def folder(self) -> str:
        """Where the process begins. Raises IsolationError if that is no folder of this machine."""
        folder = Path(self.working_dir).expanduser() if self.working_dir else Path.cwd()
        if not folder.is_dir():
            raise IsolationError(
                f"{self._speaker()} wants to work in {folder}, which is no folder there. "
                "Make it on that machine, or change the pool."
            )
        return str(folder)

    def misfit(self, complaint: str) -> str:
        """For people: why a process of this pool could not begin."""
        python = self.python or "the agent's own Python"
        return (
            f"{self._speaker()} could not start a process with {python}: {complaint}. "
            "Install what is missing on that machine, or change the pool. "
            "A virtual environment needs the packages of `pip install portal-orchestrator`."
        )

    def memory_limit(self) -> str:
        """For people: how much memory there is; "" without a limit."""
        return f"Work pool '{self.pool}' allows {self.memory_mb} MiB of memory." if self.memory_mb else ""

    def limit_behind(self, number: int | None) -> str:
        """For people: the limit that may be why a process was ended by this signal; "" if none is."""
        if number == signal.SIGXCPU and self.cpu_seconds:
            return f"Work pool '{self.pool}' allows {self.cpu_seconds} s of CPU time."
        if number in OUT_OF_MEMORY and self.memory_mb:
            return f"It may have needed more memory than it had: {self.memory_limit()}"
        return ""

    def _speaker(self) -> str:
        return f"Work pool '{self.pool}' on {socket.gethostname()}"


def isolation_of(session: Session, run: FlowRunInfo) -> Isolation:
    """What the run's pool says; the run's job variables `env` and `working_dir` go before it.

    Raises IsolationError for job variables that are no such thing, and psycopg.Error.
    """
    with session.transaction() as tx:
        [(name, python, environment, working_dir, memory_mb, cpu_seconds)] = tx.execute(ISOLATION, [run.id])
    own: Any = run.job_variables.get("env") or {}
    folder: Any = run.job_variables.get("working_dir") or working_dir
    if complaint := complaint_of_environment(own):
        raise IsolationError(f"The job variable 'env' of this run's deployment {complaint}.")
    if not isinstance(folder, str) or "\0" in folder:
        raise IsolationError("The job variable 'working_dir' of this run's deployment must be a path.")
    return Isolation(name, python, {**json.loads(environment), **own}, folder, memory_mb, cpu_seconds)


def complaint_of_environment(given: Any) -> str:
    """What is wrong with environment variables that somebody wrote; "" if nothing is."""
    if not isinstance(given, dict):
        return 'must be an object such as {"NAME": "value"}'
    for name, value in given.items():
        if not name or "=" in name or "\0" in name:
            return f"has {name!r}, which is no name of an environment variable"
        if not isinstance(value, str) or "\0" in value:
            return f"must have a text as the value of {name}"
    return ""
