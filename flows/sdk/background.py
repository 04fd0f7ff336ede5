"""Background tasks: calls of tasks that are handed to Portal, and made by whoever is there for it.

The call is packed here and opened only by the process that makes it: one that serves the task
(`flows.task_worker`), or an agent, if everything that the task needs can be packed with it.
"""

import inspect
import sys
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from uuid import UUID

from flows.sdk import portal
from flows.sdk.code import packed_code, pickled
from flows.sdk.context import current_tags, merge_tags
from flows.sdk.errands import Outcome, RemoteTraceback, packed_outcome
from flows.sdk.ids import uuid7
from flows.sdk.inputs import futures_of, resolved
from flows.sdk.portal import Ask
from flows.sdk.sealing import UnverifiedError, answer_name, call_name, seal_of
from flows.sdk.states import State
from flows.sdk.steps import Sleep, Steps, drive, drive_async
from flows.sdk.wire import state_from

if TYPE_CHECKING:
    from flows.sdk.tasks import Task

R = TypeVar("R")

MOST_BYTES = 2 * 1024 * 1024
FIRST_POLL = 0.05
LONGEST_POLL = 1.0
PATH = "background_tasks"


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a task. `task` is itself packed: who serves the task has its own."""

    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    tags: tuple[str, ...]
    task: bytes | None


class BackgroundFuture(Generic[R]):
    """The outcome of a background task, asked of Portal."""

    def __init__(self, task_run_id: UUID, name: str) -> None:
        self.task_run_id = task_run_id
        self.name = name
        self._over: State | None = None

    @property
    def state(self) -> State:
        """The task run's state now. Raises PortalApiError if it is not there any more."""
        return self._over or drive(self._asked())

    def done(self) -> bool:
        return self.state.is_terminal()

    def wait(self, timeout: float | None = None) -> None:
        """Return when the task run is over, or after `timeout` seconds."""
        drive(self._waited(timeout))

    async def wait_async(self, timeout: float | None = None) -> None:
        """As `wait`, without blocking the event loop."""
        await drive_async(self._waited(timeout))

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> R:
        """The task's return value. Waits for it.

        Raises the task's exception (returns it with `raise_on_failure=False`), or TimeoutError when the
        task run is not over after `timeout` seconds. Results are kept for 7 days. Raises UnverifiedError,
        and opens nothing, for one that is not signed with a key of the workspace.
        """
        return drive(self._fetched(timeout, raise_on_failure))

    async def result_async(self, timeout: float | None = None, raise_on_failure: bool = True) -> R:
        """As `result`, without blocking the event loop."""
        return await drive_async(self._fetched(timeout, raise_on_failure))

    def _asked(self) -> Steps[State]:
        server = portal.needed("A background task")
        row = yield from portal.ask(partial(server.get, f"{PATH}/{self.task_run_id}"))
        state = state_from(row["state"])
        if state.is_terminal():
            self._over = state
        return state

    def _waited(self, timeout: float | None) -> Steps[None]:
        deadline = None if timeout is None else monotonic() + timeout
        pause = FIRST_POLL
        while not (yield from self._asked()).is_terminal():
            left = pause if deadline is None else deadline - monotonic()
            if left <= 0:
                return
            yield Sleep(min(pause, left))
            pause = min(2 * pause, LONGEST_POLL)

    def _fetched(self, timeout: float | None, raise_on_failure: bool) -> Steps[R]:
        if self._over is None:
            yield from self._waited(timeout)
        if self._over is None:
            raise TimeoutError(f"Task run {self.name!r} was not over after {timeout} seconds.")
        server = portal.needed("A background task")
        row = yield from portal.ask(partial(server.get, f"{PATH}/{self.task_run_id}/result"))
        value: R
        if row["content"] is None:
            value = self._over.result(raise_on_failure)
        else:
            verify = partial(seal_of(server).verified, answer_name(self.task_run_id))
            content = yield Ask(partial(verify, b64decode(row["content"])))
            if content is None:
                raise UnverifiedError(
                    f"The result of task run {self.name!r} is not signed with a key of its workspace: it was "
                    "altered, or written by somebody without a key, or the key that signed it is not in "
                    "PORTAL_RESULT_KEYS any more. It was not opened."
                )
            value = _opened(content, raise_on_failure)
        return value

    def __repr__(self) -> str:
        return f"BackgroundFuture({self.name!r})"


def _opened(packed: bytes, raise_on_failure: bool) -> Any:
    import cloudpickle

    outcome: Outcome = cloudpickle.loads(packed)
    if outcome.error is None:
        return outcome.value
    if raise_on_failure:
        raise outcome.error from RemoteTraceback(outcome.traceback)
    return outcome.error


def background_key(task: "Task[Any, Any]") -> str:
    """What a task is found by in other processes: its module and name.

    The module of a script is called as its file would be imported, packages included, so that whoever does
    import it finds the same.
    """
    name = task.fn.__module__
    spec = getattr(sys.modules.get(name), "__spec__", None)
    if name == "__main__" and spec is not None:
        name = spec.name  # python -m
    elif name == "__main__" or name.startswith("flows_entrypoint_"):
        name = _importable_name(Path(inspect.getsourcefile(task.fn) or name))
    return f"{name}.{task.task_key}"


def _importable_name(file: Path) -> str:
    parts = [file.stem]
    for folder in file.resolve().parents:
        if not (folder / "__init__.py").is_file():
            break
        parts.insert(0, folder.name)
    return ".".join(parts)


def sent(
    task: "Task[Any, Any]",
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    wait_for: Iterable[Any] = (),
    queue: str = "default",
) -> BackgroundFuture[Any]:
    """Hand the call to Portal. Raises TypeError for arguments that do not fit or cannot be packed."""
    task.arguments(args, kwargs)
    wait_for = tuple(wait_for)
    for future in futures_of((*args, *kwargs.values(), *wait_for)):
        future.wait()
    resolved(wait_for)
    id = uuid7()
    name = f"{task.name}-{id.hex[-8:]}"
    server = portal.needed(f"{task.name}.delay")
    content, has_task = _packed(task, resolved(tuple(args)), resolved(dict(kwargs)))
    body = {
        "id": str(id),
        "task_key": background_key(task),
        "name": name,
        "tags": list(merge_tags(current_tags.get(), task.tags)),
        "queue": queue,
        "for_agents": has_task,
        "content": b64encode(seal_of(server).sign(call_name(id), content)).decode(),
    }
    drive(portal.ask(lambda: server.post(f"{PATH}/", body)))
    return BackgroundFuture(id, name)


def _packed(task: "Task[Any, Any]", args: Any, kwargs: Any) -> tuple[bytes, bool]:
    """The call, and whether its task goes along; a task that refers to what cannot be packed does not."""
    tags = current_tags.get()
    try:
        packed_task: bytes | None = packed_code(task, task.fn.__module__)
    except Exception:
        packed_task = None
    try:
        content = pickled(Call(args, kwargs, tags, packed_task), task.fn.__module__)
    except Exception as error:
        raise TypeError(f"The arguments of task {task.name!r} cannot be sent: {error}") from error
    if len(content) > MOST_BYTES:
        raise TypeError(
            f"The call of task {task.name!r} is {len(content) / 2**20:.1f} MiB, and at most "
            f"{MOST_BYTES // 2**20} MiB can be sent: keep large arguments in storage, and pass their address."
        )
    return content, packed_task is not None


def packed_end(state: State) -> bytes:
    """What is sent back of a task run that is over: its value, or its exception."""
    from flows.sdk.task_engine import user_traceback

    if isinstance(state.data, BaseException):
        packed = packed_outcome(Outcome(error=state.data, traceback=user_traceback(state.data)))
    elif state.is_completed():
        packed = packed_outcome(Outcome(state.data))
    else:
        packed = packed_outcome(Outcome(error=RuntimeError(state.message or state.name)))
    if len(packed) > MOST_BYTES:
        too_large = TypeError(
            f"The result is {len(packed) / 2**20:.1f} MiB, and at most {MOST_BYTES // 2**20} MiB can be sent "
            "back: keep it in storage, and return its address."
        )
        packed = packed_outcome(Outcome(error=too_large))
    return packed
