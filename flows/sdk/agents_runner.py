"""The task runner that spreads tasks over agents, on whatever machines they are."""

import logging
import threading
from typing import TYPE_CHECKING, Any, Protocol

from flows.sdk.backend import NoBackendError, current_backend
from flows.sdk.process_pool import TaskProcess
from flows.sdk.recorder import Recorder
from flows.sdk.runners import RemoteTaskRunner
from flows.sdk.signals import DeadlinePassed
from flows.sdk.states import State
from flows.sdk.task_engine import TaskCall
from flows.sdk.timeouts import Limit

if TYPE_CHECKING:
    from flows.sdk.futures import TaskFuture

THREADS = 250
LOCAL_AFTER = 1.0

logger = logging.getLogger(__name__)


class ErrandDesk(Protocol):
    """Where the process of a flow hands in errands for agents."""

    def carry_out(self, errand: bytes, limit: Limit | None) -> bytes | None:
        """Have an agent call `carried_out(errand)`, and return what it returns. Its limit begins then, too.

        None: no agent came for it, so it is to be done here, followed by `done_here`. One errand at a time
        is handed back. Raises ProcessLost when the agent's process ends, or everything was withdrawn, and
        DeadlinePassed when the limit passes.
        """
        ...

    def done_here(self) -> None:
        """What was handed back is done."""
        ...

    def close(self) -> None:
        """Withdraw what is not done: wherever it is under way, it is ended. Safe to call twice."""
        ...


class Errands(Protocol):
    """The agents of a server."""

    def desk(self, queue: str, local_after: float | None) -> ErrandDesk:
        """A desk for one task runner. Its first errand raises ValueError for a queue that cannot be."""
        ...


class AgentsTaskRunner(RemoteTaskRunner):
    """Runs submitted tasks in agents, on any machine: in the processes of `manage.py rqworker`.

    queue: the work queue, `[pool/]queue`, whose agents take the tasks; one that does not exist is made.
    max_workers: how many tasks are with agents at a time.
    local_after: seconds after which the flow's process carries out a task itself (one at a time, in a process
        beside it) if no agent works for the flow. Agents may all be waiting for tasks of their own, and
        would wait for ever. None: only agents do it, as for a queue of machines with special hardware.

    Arguments and results are sent by cloudpickle, signed, through the database; 16 MiB at most. Agents must
    be able to import what the task's code imports. A task whose agent or process dies is Crashed, and tried
    again if it has retries. Outside agents, as in tests and scripts, tasks run in threads.
    """

    def __init__(
        self, queue: str = "default", max_workers: int = THREADS, local_after: float | None = LOCAL_AFTER
    ) -> None:
        if local_after is not None and not local_after >= 0:
            raise ValueError(f"local_after must be 0 or more seconds, or None, not {local_after}.")
        super().__init__(max_workers)
        self.queue = queue
        self.local_after = local_after
        self._errands: Errands | None = None
        self._desk: ErrandDesk | None = None
        self._local: TaskProcess | None = None

    def options(self) -> dict[str, Any]:
        return {**super().options(), "queue": self.queue, "local_after": self.local_after}

    def submit(self, call: TaskCall) -> "TaskFuture[Any]":
        if self._errands is None:
            self._errands = _agents_here()
        return super().submit(call)

    def place(self) -> "AgentsTaskRunner | None":
        return None if self._errands is None else self

    def _prepare(self) -> None:
        with self._lock:
            self._refuse_if_closed()
            if self._desk is None and self._errands is not None:
                self._desk = self._errands.desk(self.queue, self.local_after)

    def _carry_out(self, errand: bytes, recorder: Recorder, limit: Limit | None) -> bytes:
        desk = self._desk
        assert desk is not None, "prepared"
        answer = desk.carry_out(errand, limit)
        if answer is not None:
            return answer
        try:
            return self._carry_out_here(errand, recorder, None if limit is None else Limit(limit.seconds))
        except DeadlinePassed:
            raise DeadlinePassed(limit) from None
        finally:
            desk.done_here()

    def _carry_out_here(self, errand: bytes, recorder: Recorder, limit: Limit | None) -> bytes:
        """In the one process beside this one; the desk hands back one errand at a time."""
        with self._lock:
            self._refuse_if_closed()
            if self._local is None or self._local.is_lost:
                self._local = TaskProcess(None, ())
            process = self._local
        process.prepare()
        return process.carry_out(errand, recorder, limit)

    def cancel(self, state: State) -> None:
        """End all task runs that are not over in `state`, wherever they are."""
        super().cancel(state)
        with self._lock:
            self._closed = True
        if self._local is not None:
            self._local.kill()
        if self._desk is not None:
            self._desk.close()

    def close(self) -> None:
        super().close()
        if self._desk is not None:
            self._desk.close()
        if self._local is not None:
            self._local.hang_up()
            self._local.wait()


def _agents_here() -> Errands | None:
    """The agents of the surrounding server; None, said once, where there are none."""
    try:
        errands = current_backend().errands
    except NoBackendError:
        errands = None
    if errands is None and not _has_told.is_set():
        _has_told.set()
        logger.warning("AgentsTaskRunner: there are no agents here, so tasks run in threads of this process.")
    return errands


_has_told = threading.Event()
