"""What running code asks of its server, beside reporting its own run: other runs, variables, blocks.

The engine owns these ports. `flows.sdk.memory_backend` keeps everything in the process, `runs.backend` reads
and writes PostgreSQL from inside an agent. All methods block, and may be called from any thread.
"""

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

from flows.sdk.recorder import Verdict
from flows.sdk.states import State

if TYPE_CHECKING:
    from flows.sdk.agents_runner import Errands


@dataclass(frozen=True, slots=True)
class SentInput:
    """Something that was sent to a run. `value` is JSON, `sender` says who sent it ("" if unknown)."""

    key: str
    value: Any
    sender: str = ""


@dataclass(frozen=True, slots=True)
class StoredVariable:
    """A variable of the workspace. `value` is JSON."""

    name: str
    value: Any
    tags: tuple[str, ...] = ()


class NoBackendError(RuntimeError):
    """There is a server, but no way from here to what is asked of it."""


class AlreadyThereError(ValueError):
    """Something of this name exists, and it was not said that it may be replaced."""


class Runs(Protocol):
    """Runs of the workspace, by id."""

    def state(self, run_id: UUID) -> State | None:
        """The state that holds now; None if there is no such run."""
        ...

    def suspend(self, run_id: UUID, state: State) -> Verdict:
        """Propose a Suspended state for a run that another process executes."""
        ...

    def resume(self, run_id: UUID, run_input: Mapping[str, Any] | None) -> Verdict:
        """Let a paused run go on. REJECT: the input does not fit; ABORT: the run is not paused."""
        ...

    def put_input(self, run_id: UUID, sent: SentInput) -> None:
        """Leave a value for a run; it replaces what is there under the same key.

        Raises LookupError if there is no such run.
        """
        ...

    def input(self, run_id: UUID, key: str) -> SentInput | None: ...

    def inputs(self, run_id: UUID, prefix: str, but: Collection[str]) -> list[SentInput]:
        """What was left under keys that begin with `prefix`, oldest first, without the keys in `but`."""
        ...


class Variables(Protocol):
    """Variables of the workspace, by name."""

    def get(self, name: str) -> StoredVariable | None: ...

    def set(self, name: str, value: Any, tags: Sequence[str], overwrite: bool) -> StoredVariable:
        """Raises AlreadyThereError."""
        ...

    def unset(self, name: str) -> bool:
        """Whether there was such a variable."""
        ...


class Blocks(Protocol):
    """Configuration documents of the workspace, by type and name. They are stored encrypted."""

    def load(self, type: str, name: str) -> dict[str, Any] | None: ...

    def save(self, type: str, name: str, document: Mapping[str, Any], overwrite: bool) -> None:
        """Raises AlreadyThereError."""
        ...

    def delete(self, type: str, name: str) -> bool:
        """Whether there was such a block."""
        ...


@dataclass(frozen=True, slots=True)
class Backend:
    """The ports of one server. `url` is where people find it in a browser; "" if there is none.

    `errands` leads to its agents; None where tasks cannot be sent to them.
    """

    runs: Runs
    variables: Variables
    blocks: Blocks
    url: str = ""
    errands: "Errands | None" = None


_current: ContextVar[Backend | None] = ContextVar("current_backend", default=None)


def current_backend() -> Backend:
    """The backend that surrounds the caller; this process's own memory where none does.

    Raises NoBackendError with PORTAL_API_URL set outside agents: what is meant for that server must not get
    lost in a memory that ends with the process.
    """
    backend = _current.get()
    if backend is not None:
        return backend
    if url := os.environ.get("PORTAL_API_URL"):
        raise NoBackendError(
            f"Pauses, inputs, variables and blocks of {url} are there for runs of its agents: deploy the "
            "flow, or unset PORTAL_API_URL to keep them in this process."
        )
    from flows.sdk.memory_backend import IN_THIS_PROCESS

    return IN_THIS_PROCESS


def server_url() -> str:
    """Where people find the surrounding server in a browser; "" if there is none."""
    backend = _current.get()
    url = backend.url if backend else os.environ.get("PORTAL_API_URL", "").rstrip("/").removesuffix("/api")
    return url.rstrip("/")


@contextmanager
def backed_by(backend: Backend) -> Iterator[Backend]:
    """Ask `backend` for whatever code inside the block needs."""
    token = _current.set(backend)
    try:
        yield backend
    finally:
        _current.reset(token)
