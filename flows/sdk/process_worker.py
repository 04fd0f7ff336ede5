"""A process of the `ProcessPoolTaskRunner`: does one errand after the other, until the line is closed."""

import os
import signal
import threading
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any
from uuid import UUID

from flows.sdk.errands import carried_out, without_data
from flows.sdk.recorder import FlowRunInfo, LogLine, NewArtifact, NewFlowRun, TaskRunEvent, Verdict
from flows.sdk.results import MemoryResults
from flows.sdk.states import State


def main(descriptor: int) -> None:
    """Serve the process at the other end of the socket `descriptor`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the flow's process, which ends this one
    flow = FlowProcess(Connection(descriptor))
    threading.Thread(target=flow.listen, daemon=True).start()
    with suppress(BrokenPipeError):  # the flow's process was killed: nobody is left to tell
        _serve(flow)


def _serve(flow: "FlowProcess") -> None:
    while (message := flow.work.get()) is not None:
        kind, packed = message
        if kind == "prepare":
            _prepare(packed)
        elif kind == "begin":
            flow.send("ready")
        else:
            flow.send("done", carried_out(packed, flow))


def _prepare(packed: bytes) -> None:
    import cloudpickle

    initializer, arguments = cloudpickle.loads(packed)
    initializer(*arguments)


class FlowProcess:
    """The process of the flow, as seen from here: the recorder is there."""

    def __init__(self, line: Connection) -> None:
        self.work: SimpleQueue[tuple[str, bytes] | None] = SimpleQueue()
        self._answers: SimpleQueue[Any] = SimpleQueue()
        self.results = MemoryResults()  # of tasks inside tasks
        self._line = line
        self._sending = threading.Lock()
        self._asking = threading.Lock()

    def listen(self) -> None:
        """Sort what comes in. When the line is closed or its other end died, end this process."""
        try:
            while True:
                kind, content = self._line.recv()
                if kind == "answer":
                    self._answers.put(content)
                else:
                    self.work.put((kind, content))
        except (EOFError, OSError):
            self.work.put(None)
            threading.main_thread().join(1.0)
            os._exit(1)  # it is busy with a task that nobody waits for any more

    def send(self, *message: Any) -> None:
        with self._sending:
            self._line.send(message)

    def task_event(self, event: TaskRunEvent) -> None:
        self.send("tell", "task_event", (without_data(event),))

    def log(self, line: LogLine) -> None:
        self.send("tell", "log", (line,))

    def artifact(self, artifact: NewArtifact) -> None:
        self.send("tell", "artifact", (artifact,))

    def begin(self, new: NewFlowRun) -> FlowRunInfo:
        info: FlowRunInfo = self.ask("begin", new)
        return info

    def transition(self, run_id: UUID, state: State) -> Verdict:
        verdict: Verdict = self.ask("transition", run_id, replace(state, data=None))
        return verdict

    def flush(self) -> None:
        self.ask("flush")

    def close(self) -> None:
        """The flow's process closes its recorder."""

    def ask(self, method: str, *arguments: Any) -> Any:
        """As `flows.sdk.errands.Line`. Raises what the method raised there."""
        with self._asking:
            self.send("ask", method, arguments)
            answer = self._answers.get()
        if isinstance(answer, BaseException):
            raise answer
        return answer
