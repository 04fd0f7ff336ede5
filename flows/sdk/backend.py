"""What running code asks of its server, beside reporting its own run: other runs, variables, blocks, the API.

The engine owns these ports. `flows.sdk.memory_backend` keeps everything in the process, `runs.backend` reads
and writes PostgreSQL from inside an agent, `flows.sdk.http_backend` asks the server at PORTAL_API_URL. All
methods block, and may be called from any thread.
"""

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

from flows.sdk.recorder import Verdict
from flows.sdk.states import State

if TYPE_CHECKING:
    from flows.sdk.agents_runner import Errands
    from flows.sdk.portal import Portal


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

    def result(self, run_id: UUID, key: str) -> bytes | None:
        """What a run keeps for itself under `key`, verified: as `flows.sdk.results.opened` takes it."""
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

    `portal` is its API, for all that has no port of its own; `errands` leads to its agents. Each is None if
    there is none.
    """

    runs: Runs
    variables: Variables
    blocks: Blocks
    url: str = ""
    portal: "Portal | None" = None
    errands: "Errands | None" = None


_current: ContextVar[Backend | None] = ContextVar("current_backend", default=None)
_make: Callable[[], Backend] | None = None
_made: Backend | None = None
_made_for: tuple[str, str] | None = None  # address and key of a server
_portal_here: "Callable[[], Portal] | None" = None


def _forget_after_fork() -> None:
    """A child has none of the parent's threads, and must not talk on its connections."""
    global _made
    _made = None


os.register_at_fork(after_in_child=_forget_after_fork)


def current_backend() -> Backend:
    """The backend that surrounds the caller, else the one of this process."""
    return _current.get() or process_backend()


def process_backend() -> Backend:
    """What `use` says, else the server at PORTAL_API_URL, else this process's own memory.

    A process that runs Portal's Django project has its API beside the memory. Raises ValueError for a bad
    PORTAL_API_URL.
    """
    global _made, _made_for
    address = os.environ.get("PORTAL_API_URL", ""), os.environ.get("PORTAL_API_KEY", "")
    if _made is None or (_make is None and _made_for != address):
        _made_for = address
        _made = _make() if _make else _found(*address)
    return _made


def _found(url: str, key: str) -> Backend:
    if url:
        from flows.sdk.http_backend import http_backend

        return http_backend(url, key)
    from flows.sdk.memory_backend import IN_THIS_PROCESS

    return replace(IN_THIS_PROCESS, portal=_portal_here()) if _portal_here else IN_THIS_PROCESS


def use(make: Callable[[], Backend] | None) -> None:
    """Ask what `make` returns in the whole process from now on, whatever the environment says: for agents. A
    forked child makes one of its own. None: look for it anew."""
    global _make, _made
    _make, _made = make, None


def fill(portal_here: "Callable[[], Portal]") -> None:
    """Say how the API of this process is called. Done once, by the app that owns the API."""
    global _portal_here
    _portal_here = portal_here


def server_url() -> str:
    """Where people find the surrounding server in a browser; "" if there is none."""
    return current_backend().url.rstrip("/")


@contextmanager
def backed_by(backend: Backend) -> Iterator[Backend]:
    """Ask `backend` for whatever code inside the block needs."""
    token = _current.set(backend)
    try:
        yield backend
    finally:
        _current.reset(token)
