"""Locks on cache keys, so that a result is computed once although many ask for it."""

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from threading import Lock
from typing import Protocol

_POLL_SECONDS = 0.05


class LockManager(Protocol):
    """Locks by key. `holder` is any text; by it alone is told who holds a lock."""

    def acquire_lock(
        self, key: str, holder: str, acquire_timeout: float | None = None, hold_timeout: float | None = None
    ) -> bool:
        """Take the lock; return whether that came about within `acquire_timeout` seconds.

        None waits for ever, 0 only tries. After `hold_timeout` seconds (None: never) others may take it.
        """
        ...

    def release_lock(self, key: str, holder: str) -> None:
        """Give the lock back. Does nothing if somebody else has it."""
        ...


Held = dict[str, tuple[str, float | None]]  # key: (holder, until when in seconds since 1970; None: for ever)


class _Locks(ABC):
    """Locks in a table that one caller at a time may change."""

    @abstractmethod
    def _table(self) -> AbstractContextManager[Held]:
        """The table, to be changed by nobody else meanwhile."""

    def acquire_lock(
        self, key: str, holder: str, acquire_timeout: float | None = None, hold_timeout: float | None = None
    ) -> bool:
        """See `LockManager`."""
        return _poll(lambda: self._try(key, holder, hold_timeout), acquire_timeout)

    def _try(self, key: str, holder: str, hold_timeout: float | None) -> bool:
        with self._table() as held:
            if _is_held(held, key) and held[key][0] != holder:
                return False
            held[key] = holder, None if hold_timeout is None else time.time() + hold_timeout
            return True

    def release_lock(self, key: str, holder: str) -> None:
        """See `LockManager`."""
        with self._table() as held:
            if key in held and held[key][0] == holder:
                del held[key]

    def is_locked(self, key: str) -> bool:
        """Whether anybody holds the lock."""
        with self._table() as held:
            return _is_held(held, key)

    def is_lock_holder(self, key: str, holder: str) -> bool:
        """Whether `holder` holds the lock."""
        with self._table() as held:
            return _is_held(held, key) and held[key][0] == holder

    def wait_for_lock(self, key: str, timeout: float | None = None) -> bool:
        """Wait until the lock is free, at most `timeout` seconds; return whether it is."""
        return _poll(lambda: not self.is_locked(key), timeout)


class MemoryLockManager(_Locks):
    """Locks among the threads and coroutines of this process."""

    def __init__(self) -> None:
        self._held: Held = {}
        self._changing = Lock()

    @contextmanager
    def _table(self) -> Iterator[Held]:
        with self._changing:
            yield self._held


class FileSystemLockManager(_Locks):
    """Locks among all processes that share a folder. A process that dies keeps its locks."""

    def __init__(self, lock_files_directory: str | Path) -> None:
        self._folder = Path(lock_files_directory).expanduser().absolute()

    @contextmanager
    def _table(self) -> Iterator[Held]:
        import fcntl

        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "locks.json").open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # until it is closed
            file.seek(0)
            before = file.read()
            held = {key: (holder, until) for key, (holder, until) in json.loads(before or "{}").items()}
            yield held
            if (after := json.dumps(held)) != before:
                file.truncate(0)
                file.write(after)


def _is_held(held: Held, key: str) -> bool:
    if key not in held:
        return False
    until = held[key][1]
    return until is None or until > time.time()


def _poll(succeeds: Callable[[], bool], timeout: float | None) -> bool:
    deadline = None if timeout is None else time.monotonic() + timeout
    while not succeeds():
        if deadline is not None and time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True
