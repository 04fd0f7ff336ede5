"""Results of tasks, kept by cache key: the port to where they are kept, and their signed form.

The engine owns the port and knows no storage. `MemoryResults` lives in the process; `runs.results`
keeps them in PostgreSQL for agents, small ones in rows and large ones in files.
"""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from threading import Event, Lock
from typing import Any, Protocol

from flows.sdk import storage
from flows.sdk.clock import now
from flows.sdk.context import current_flow, current_recorder
from flows.sdk.locking import LockManager, MemoryLockManager
from flows.sdk.result_files import Files, ResultStorage, files_of
from flows.sdk.serializers import SerializationError, Serializer, serializer_of
from flows.sdk.signing import Signer

MOST_BYTES_IN_MEMORY = 256 * 1024 * 1024

Logger = logging.Logger | logging.LoggerAdapter[logging.Logger]


class ResultKeeper(Protocol):
    """Where signed results are kept. All methods may be called from any thread.

    `of_run` says that a key means something to one flow run only: its results end with the run.
    """

    @property
    def durable(self) -> bool:
        """Whether results outlive the process. If so, they are kept without being asked for."""
        ...

    @property
    def signer(self) -> Signer: ...

    @property
    def locks(self) -> LockManager:
        """Whoever releases a lock of these has made durable what was put before."""
        ...

    def get(self, key: str, of_run: bool) -> bytes | None:
        """What was put last, unless it has expired."""
        ...

    def put(self, key: str, signed: bytes, expires: datetime | None, of_run: bool) -> None:
        """Keep a result until `expires` (an aware datetime; None: for ever). Raises OSError."""
        ...


class MemoryResults:
    """Results in this process. When they take more than 256 MiB, the oldest are dropped."""

    durable = False

    def __init__(self) -> None:
        self.locks: LockManager = MemoryLockManager()
        self._kept: dict[str, tuple[bytes, datetime | None]] = {}
        self._bytes = 0
        self._changing = Lock()

    @cached_property
    def signer(self) -> Signer:
        return Signer.of_environment()

    def get(self, key: str, of_run: bool) -> bytes | None:
        signed, expires = self._kept.get(key, (None, None))
        return None if _is_over(expires) else signed

    def put(self, key: str, signed: bytes, expires: datetime | None, of_run: bool) -> None:
        with self._changing:
            self._drop(key)
            self._kept[key] = signed, expires
            self._bytes += len(signed)
            while self._bytes > MOST_BYTES_IN_MEMORY:
                self._drop(next(iter(self._kept)))

    def _drop(self, key: str) -> None:
        if found := self._kept.pop(key, None):
            self._bytes -= len(found[0])


class FolderResults:
    """Results as files, one for each key, behind the time when they expire."""

    durable = True

    def __init__(self, files: Files, signer: Signer, locks: LockManager) -> None:
        self.files = files
        self.signer = signer
        self.locks = locks

    def get(self, key: str, of_run: bool) -> bytes | None:
        expires, _, signed = (self.files.read(storage.file_name(key)) or b"").partition(b"\n")
        try:
            over = _is_over(datetime.fromisoformat(expires.decode()) if expires else None)
        except ValueError:
            return None  # the file is not one of ours
        return None if over or not signed else signed

    def put(self, key: str, signed: bytes, expires: datetime | None, of_run: bool) -> None:
        first_line = expires.isoformat() if expires else ""
        self.files.write(storage.file_name(key), first_line.encode() + b"\n" + signed)


@dataclass(frozen=True, slots=True)
class ResultRecord:
    """A result that was read."""

    key: str
    result: Any


class ResultStore:
    """Results as Python objects: how they are read from a keeper and written to it.

    result_storage: folder, URL or block; None: where the surrounding run keeps its results.
    serializer: its name or itself; None: pickle.
    lock_manager: None: the keeper's own.
    lifetime: how long what is written may be reused; None: for ever.
    keeper: None: that of the surrounding run.
    What is kept is the serializer's name, a zero byte, and its data, all of it signed.
    """

    def __init__(
        self,
        result_storage: ResultStorage | None = None,
        serializer: Serializer | str | None = None,
        lock_manager: LockManager | None = None,
        *,
        lifetime: timedelta | None = None,
        of_run: bool = False,
        keeper: ResultKeeper | None = None,
    ) -> None:
        keeper = keeper or current_keeper()
        if result_storage is not None:
            keeper = FolderResults(files_of(result_storage), keeper.signer, keeper.locks)
        self.keeper = keeper
        self.serializer = serializer_of(serializer)
        self.locks = lock_manager or keeper.locks
        self.lifetime = lifetime
        self.of_run = of_run

    def read(self, key: str, logger: Logger) -> ResultRecord | None:
        """The result of `key`. What cannot be had or verified counts as not there, with a warning."""
        try:
            signed = self.keeper.get(key, self.of_run)
        except OSError as error:
            logger.warning("The stored result of key %r cannot be read: it is computed anew. %s", key, error)
            return None
        if signed is None:
            return None
        content = self.keeper.signer.verified(key, signed)
        if content is None:
            _warn_of_unverifiable(key, logger)
            return None
        name, _, data = content.partition(b"\0")
        try:
            return ResultRecord(key, self._serializer_of(name.decode()).loads(data))
        except Exception as error:
            logger.warning(
                "The stored result of key %r cannot be opened: it is computed anew. %r", key, error
            )
            return None

    def write(self, key: str, value: Any) -> None:
        """Keep `value`. Raises SerializationError, and OSError when the storage fails."""
        try:
            data = self.serializer.dumps(value)
        except Exception as error:
            kind = type(value).__name__
            raise SerializationError(
                f"a result of type {kind} is not for the serializer {self.serializer.type!r} ({error})"
            ) from error
        signed = self.keeper.signer.sign(key, self.serializer.type.encode() + b"\0" + data)
        expires = None if self.lifetime is None else now() + self.lifetime
        self.keeper.put(key, signed, expires, self.of_run)

    def _serializer_of(self, name: str) -> Serializer:
        """The one that wrote the result: the option may have changed since."""
        return self.serializer if name == self.serializer.type else serializer_of(name)


def opened(content: bytes) -> Any:
    """The value of verified content. Raises what its serializer raises."""
    name, _, data = content.partition(b"\0")
    return serializer_of(name.decode()).loads(data)


def key_hash(key: str) -> str:
    """The SHA-256 of a cache key in hexadecimal."""
    from hashlib import sha256

    return sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


_has_warned = Event()


def _warn_of_unverifiable(key: str, logger: Logger) -> None:
    """Once in a process: after a change of keys, every result would say it."""
    if not _has_warned.is_set():
        _has_warned.set()
        logger.warning(
            "The stored result of key %r was altered, or signed by a key that is not in PORTAL_RESULT_KEYS: "
            "it is computed anew. Further ones are not reported.", key,
        )  # fmt: skip


def _is_over(expires: datetime | None) -> bool:
    return expires is not None and expires <= now()


process_results = MemoryResults()


def current_keeper() -> ResultKeeper:
    """Where the surrounding run keeps its results; outside runs, the memory of this process."""
    flow = current_flow.get()
    recorder = flow.recorder if flow else current_recorder.get()
    return recorder.results if recorder else process_results


def get_result_store() -> ResultStore:
    """The store of the surrounding run, as its tasks use it when they do not say otherwise."""
    return ResultStore()
