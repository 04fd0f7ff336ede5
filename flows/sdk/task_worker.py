"""Task workers: processes that take background tasks from Portal and run them.

A worker holds what it runs under a lease. Killed, it leaves its tasks to the next worker, 8 s later.
"""

import logging
import os
import signal
import socket
import threading
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

from flows.sdk import logs, portal
from flows.sdk.background import PATH, Call, background_key, packed_end
from flows.sdk.bell import LONGEST_PAUSE, Bell
from flows.sdk.client import AWAY, NoAnswer, PortalApiError
from flows.sdk.code import opened_code
from flows.sdk.context import FlowRunContext, current_tags, merge_tags, next_sequence
from flows.sdk.ids import uuid7
from flows.sdk.recorder import Aborted, LogLine
from flows.sdk.sealing import Seal, answer_name, call_name, seal_of
from flows.sdk.states import Crashed, State
from flows.sdk.steps import drive
from flows.sdk.task_engine import TaskCall
from flows.sdk.task_run import TaskRun
from flows.sdk.tasks import Task
from flows.sdk.wire import state_as_json

logger = logging.getLogger(__name__)

RENEW_SECONDS = 2.0
MOST_AT_A_TIME = 250
SEND_SECONDS = 1.0
MOST_LINES = 100


class CannotLoad(Exception):
    """The call needs code that this process does not have."""


class BackgroundRun(TaskRun):
    """A task run outside of flows, reported to Portal by whoever holds it.

    Its last state waits for the result, and goes with it.
    """

    __slots__ = ("_lines", "_post", "_sending", "_sent_at", "_unsent")

    def __init__(self, task: Task[Any, Any], tags: tuple[str, ...], id: UUID, post: "Post") -> None:
        self._post = post
        self._unsent: list[dict[str, Any]] = []
        self._lines: list[dict[str, Any]] = []
        self._sending = threading.RLock()
        self._sent_at = time.monotonic()
        super().__init__(None, task.name, task.task_key, tags, {}, id)

    def _dynamic_key(self, flow: FlowRunContext | None) -> str:
        return self.id.hex[-8:]

    def _report(self, state: State) -> None:
        self._unsent.append(
            {
                **state_as_json(state),
                "sequence": next_sequence(),
                "run_count": self.run_count,
                "start_time": self.start_time,
                "end_time": self.end_time,
                "total_run_time": self.total_run_time,
            }
        )
        if not state.is_terminal() and not state.is_pending():
            self.send(None)

    @property
    def lines(self) -> "BackgroundRun":
        return self

    def log(self, line: LogLine) -> None:
        """Lines are sent together, and not much later than a second after they were written."""
        fields = {"timestamp": line.timestamp, "level": line.level, "name": line.logger}
        with self._sending:
            self._lines.append({"id": uuid7(), **fields, "message": line.message})
            is_time = time.monotonic() - self._sent_at > SEND_SECONDS
            if is_time or len(self._lines) >= MOST_LINES:
                self.send(None)

    def send(self, end: bytes | None) -> None:
        """Send the states and lines that were not sent yet; with the last state its outcome.

        Raises Aborted when somebody else holds the task run now.
        """
        content = None if end is None else b64encode(end).decode()
        with self._sending:
            states, self._unsent = self._unsent, []
            lines, self._lines = self._lines, []
            report = {"states": states, "lines": lines, "content": content}
            answer = self._post(f"{self.id}/report", report)
            self._sent_at = time.monotonic()
        if not answer["held"]:
            raise Aborted(f"task run {self.id} was taken from this process")


Post = Callable[[str, Mapping[str, Any]], Any]


def posting(holder: UUID) -> Post:
    """How `holder` writes to Portal: patiently, since what it says may be said twice."""
    server = portal.needed("A task worker")

    def post(path: str, body: Mapping[str, Any]) -> Any:
        text = _as_json({**body, "holder": str(holder)})
        return drive(portal.ask(lambda: server.post(f"{PATH}/{path}", text)))

    return post


def _as_json(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body with ids and times as text."""
    import json

    from flows.sdk.wire import encoded

    found: dict[str, Any] = json.loads(encoded(body))
    return found


def perform(post: Post, seal: Seal, id: UUID, content: bytes, task: Task[Any, Any] | None = None) -> State:
    """Run a background task that this process holds, and report it, signed. Returns its final state.

    `task` None: the one that came with the call. Raises CannotLoad, and Aborted when it lost the task run.
    """
    call, task = _loaded(content, task)
    tags = merge_tags(call.tags, task.tags)
    run = BackgroundRun(task, tags, id, post)
    token = current_tags.set(call.tags)
    try:
        state = TaskCall(task, call.args, call.kwargs, run=run).finish()
    finally:
        current_tags.reset(token)
    if not state.is_terminal():
        state = run.enter(Crashed(message=state.message))
    run.send(seal.sign(answer_name(id), packed_end(state)))
    return state


def _loaded(content: bytes, task: Task[Any, Any] | None) -> tuple[Call, Task[Any, Any]]:
    import cloudpickle

    try:
        call: Call = cloudpickle.loads(content)
        if task is None and call.task is not None:
            task = opened_code(call.task)
    except Exception as error:
        raise CannotLoad(f"{type(error).__name__}: {error}") from error
    if task is None:
        raise CannotLoad("its task could not be packed")
    return call, task


def serve(*tasks: Task[..., Any], limit: int | None = 10) -> None:
    """Run the background calls of these tasks in threads of this process, until SIGTERM or Ctrl-C.

    limit: how many at a time; None: 250. What runs then is finished before this returns. Raises ValueError
    for no tasks or a limit below 1, TypeError for what is no task, and NoPortalError.
    """
    TaskWorker(*tasks, limit=limit).run()


class TaskWorker:
    """One process that serves tasks; `serve` makes and runs one."""

    def __init__(self, *tasks: Task[..., Any], limit: int | None = 10) -> None:
        if not tasks:
            raise ValueError("Say which tasks to serve: serve(task, ...).")
        for each in tasks:
            if not isinstance(each, Task):
                raise TypeError(f"Only tasks can be served, not {each!r}: put @task before the function.")
        if limit is not None and limit < 1:
            raise ValueError(f"limit must be at least 1 or None, not {limit}.")
        self.limit = limit or MOST_AT_A_TIME
        self._tasks = {background_key(each): each for each in tasks}
        self._id = uuid4()
        self._post = posting(self._id)
        self._seal = seal_of(portal.needed("A task worker"))
        self._stop = threading.Event()
        self._bell = Bell(list(self._tasks))
        self._free = threading.Semaphore(self.limit)
        self._held: set[UUID] = set()

    def run(self) -> None:
        """Take and run tasks until `stop` or a signal; then finish what is under way."""
        logs.log_to_stderr()
        names = ", ".join(task.name for task in self._tasks.values())
        logger.warning("Serving %s; at most %d at a time", names, self.limit)
        over = threading.Event()
        renewer = threading.Thread(target=self._renew, args=[over], name="task-leases", daemon=True)
        renewer.start()
        self._bell.start()
        with self._stopped_by_signals(), ThreadPoolExecutor(self.limit, "flows-task") as threads:
            while not self._stop.is_set():
                self._take_one(threads)
        over.set()
        renewer.join()

    def stop(self) -> None:
        """Take no further task; `run` returns when those under way are over."""
        self._stop.set()
        self._bell.end()

    def _take_one(self, threads: ThreadPoolExecutor) -> None:
        """Wait for a free thread, and for a task."""
        if not self._free.acquire(timeout=LONGEST_PAUSE):
            return
        try:
            found = self._post("claim", {"task_keys": list(self._tasks), "worker": _worker_name()})["task"]
        except (NoAnswer, PortalApiError) as error:
            if isinstance(error, PortalApiError) and error.status not in AWAY:
                raise
            logger.warning("Portal does not answer, trying again: %s", error)
            found = None
        if found is None:
            self._free.release()
            self._bell.wait()
            return
        self._held.add(UUID(found["id"]))
        threads.submit(self._perform, found)

    def _perform(self, found: Mapping[str, Any]) -> None:
        id = UUID(found["id"])
        try:
            state = perform(self._post, self._seal, id, self._verified(found), self._tasks[found["task_key"]])
            logger.info("%s: %s", found["name"], state)
        except CannotLoad as error:
            self._post(f"{id}/refuse", {"reason": str(error), "is_final": True})
        except Aborted as error:
            logger.warning("%s", error)
        except Exception:
            logger.exception("%s could not be reported", found["name"])
        finally:
            self._held.discard(id)
            self._free.release()

    def _verified(self, found: Mapping[str, Any]) -> bytes:
        """The call, which is code. Raises CannotLoad unless it was signed for this task run."""
        content = self._seal.verified(call_name(UUID(found["id"])), b64decode(found["content"]))
        if content is None:
            raise CannotLoad("it is not signed with a key of this workspace, so it was not opened")
        return content

    def _renew(self, over: threading.Event) -> None:
        while not over.wait(RENEW_SECONDS):
            if self._held:
                try:
                    self._post("renew", {"ids": [str(id) for id in self._held.copy()]})
                except Exception as error:
                    logger.warning("The leases of tasks could not be renewed: %s", error)

    @contextmanager
    def _stopped_by_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, lambda *_: self.stop()) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _worker_name() -> str:
    return f"task worker {socket.gethostname()}:{os.getpid()}"
