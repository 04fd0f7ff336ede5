"""The task runner that uses processes of this machine: Python code runs truly side by side."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from flows.sdk.backend import current_backend
from flows.sdk.code import pickled
from flows.sdk.errands import ProcessLost
from flows.sdk.options import default_number
from flows.sdk.recorder import Recorder
from flows.sdk.runners import RemoteTaskRunner
from flows.sdk.signals import DeadlinePassed
from flows.sdk.states import State
from flows.sdk.timeouts import Limit

# A fresh interpreter, not a fork (of a process with threads) and not multiprocessing's spawn, which would run
# the caller's script again. It finds the modules that its parent finds.
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from flows.sdk.process_worker import main; main(int(sys.argv[2]))"
)
_PATIENCE = 5.0  # seconds that a process has to end when it is told to


class ProcessPoolTaskRunner(RemoteTaskRunner):
    """Runs submitted tasks in other processes of this machine, which are started as needed.

    max_workers: how many; default: PORTAL_TASKS_RUNNER_PROCESS_POOL_MAX_WORKERS, else one per CPU.
    initializer: called with `initargs` in each process before its first task.

    Arguments and results are sent by cloudpickle. A task whose process dies is Crashed, and tried again if it
    has retries; the others go on. A task that takes longer than its timeout ends with its
    process, also within C code.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
    ) -> None:
        default = int(default_number("TASKS_RUNNER_PROCESS_POOL_MAX_WORKERS")) or os.cpu_count() or 1
        super().__init__(default if max_workers is None else max_workers)
        self.initializer = initializer
        self.initargs = initargs
        self._of_thread = threading.local()
        self._processes: list[TaskProcess] = []

    def options(self) -> dict[str, Any]:
        return {**super().options(), "initializer": self.initializer, "initargs": self.initargs}

    def _prepare(self) -> None:
        self._process().prepare()

    def _carry_out(self, errand: bytes, recorder: Recorder, limit: Limit | None) -> bytes:
        return self._process().carry_out(errand, recorder, limit)

    def _process(self) -> "TaskProcess":
        """The process of this thread; a new one, if there is none or it was lost."""
        process: TaskProcess | None = getattr(self._of_thread, "process", None)
        if process is None or process.is_lost:
            with self._lock:
                self._refuse_if_closed()
                process = self._of_thread.process = TaskProcess(self.initializer, self.initargs)
                self._processes.append(process)
        return process

    def cancel(self, state: State) -> None:
        """End all task runs that are not over in `state`, and their processes."""
        super().cancel(state)
        with self._lock:
            self._closed = True
        for process in self._processes:
            process.kill()

    def close(self) -> None:
        super().close()
        for process in self._processes:
            process.hang_up()
        for process in self._processes:
            process.wait()


class TaskProcess:
    """A process that does one errand at a time."""

    def __init__(self, initializer: Callable[..., object] | None, initargs: tuple[Any, ...]) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            descriptor = theirs.fileno()
            self._process = subprocess.Popen(
                [sys.executable, "-c", _START, json.dumps(sys.path), str(descriptor)],
                stdin=subprocess.DEVNULL,
                pass_fds=[descriptor],
            )
        self._line = Connection(ours.detach())
        self.is_lost = False
        self._is_ready = False
        if initializer is not None:
            self._line.send(("prepare", pickled((initializer, initargs), initializer.__module__)))
        self._line.send(("begin", b""))

    def prepare(self) -> None:
        """Return when it has loaded all that it needs."""
        if self._is_ready:
            return
        try:
            self._line.recv()
        except (EOFError, ConnectionError):
            self._lose()
            raise ProcessLost(f"A process for tasks {self._end()} before its first one.") from None
        self._is_ready = True

    def carry_out(self, errand: bytes, recorder: Recorder, limit: Limit | None) -> bytes:
        try:
            self._line.send(("errand", errand))
            while True:
                if limit is not None and not self._line.poll(limit.left()):
                    raise DeadlinePassed(limit)
                kind, *content = self._line.recv()
                if kind == "done":
                    packed: bytes = content[0]
                    return packed
                self._report(recorder, kind, *content)
        except (EOFError, ConnectionError):
            self._lose()
            raise ProcessLost(f"The process of the task run {self._end()}.") from None
        except BaseException:
            self.kill()  # nobody listens to it any more
            self._lose()
            raise

    def _report(self, recorder: Recorder, kind: str, method: str, arguments: tuple[Any, ...]) -> None:
        """Pass on what the process reports; what it asks gets an answer."""
        if kind == "tell":
            getattr(recorder, method)(*arguments)
            return
        port, _, name = method.rpartition(".")
        asked = getattr(current_backend(), port) if port else recorder
        try:
            answer = getattr(asked, name)(*arguments)
        except Exception as error:
            answer = error
        self._line.send(("answer", answer))

    def _lose(self) -> None:
        self.is_lost = True
        self._line.close()

    def _end(self) -> str:
        code = self._process.wait()
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    def kill(self) -> None:
        self.is_lost = True
        self._process.kill()

    def hang_up(self) -> None:
        """Let it end: it does so when the line is closed."""
        if not self.is_lost:
            with contextlib.suppress(OSError):
                self._line.close()

    def wait(self) -> None:
        """Return when it has ended; it is killed if it does not within 5 seconds."""
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
