"""Results over HTTP: looked up one by one, put into the reports of the run, signed and verified here.

The server keeps opaque bytes and hands out the keys of its workspace: to runs, and to people who may deploy,
since whoever can sign a result can have agents run code. For others results stay in this process.
"""

import logging
from base64 import b64decode, b64encode
from collections.abc import Mapping
from datetime import datetime
from threading import Lock
from typing import Any, Protocol
from uuid import UUID

from flows.sdk.client import PortalApiError
from flows.sdk.results import key_hash, process_results
from flows.sdk.signing import Signer

logger = logging.getLogger("flows.results")

MOST_BYTES = 8_000_000
MOST_BYTES_QUEUED = 16_000_000


class Writer(Protocol):
    """What results need of the recorder that they belong to."""

    run_id: UUID | None
    attempt: int

    def get(self, path: str) -> Any:
        """Ask the API persistently. Raises PortalApiError and Aborted."""
        ...

    def post(self, path: str, body: Mapping[str, Any]) -> Any: ...

    def result(self, body: Mapping[str, Any]) -> None:
        """Queue a result for a report."""
        ...

    def flush(self) -> None: ...

    def unlock(self, hash: str, holder: str) -> None:
        """Report all that is queued, and that a lock is free."""
        ...


class HttpResults:
    """The results of one attempt of a run and its subflows.

    `durable`: another attempt may take them up. `shares`: they are also those of the run it is made after.
    """

    def __init__(self, writer: Writer, durable: bool, shares: bool = False) -> None:
        self._shares = shares
        self.durable = durable
        self.locks = HttpLocks(self, writer)
        self._writer = writer
        self._signer: Signer | None = None
        self._fresh: dict[tuple[str, bool], bytes] = {}  # put here, and perhaps not sent yet
        self._fresh_bytes = 0
        self._of_run: set[str] = set()
        self._changing = Lock()

    @property
    def signer(self) -> Signer:
        if self._signer is None:
            self._signer = self._first_signer()
        return self._signer

    @property
    def is_shared(self) -> bool:
        """Whether the server keeps our results."""
        return self.signer is not process_results.signer

    def get(self, key: str, of_run: bool) -> bytes | None:
        if not self.is_shared:
            return process_results.get(key, of_run)
        hash = key_hash(key)
        if fresh := self._fresh.get((hash, of_run)):
            return fresh
        if of_run and self._writer.attempt == 1 and not self._shares and hash not in self._of_run:
            return None  # nobody was here before
        path = f"flow_runs/{self._writer.run_id}/results/{hash}" if of_run else f"results/{hash}"
        try:
            return b64decode(self._writer.get(path)["data"])
        except PortalApiError as error:
            if error.status == 404:
                return None
            raise OSError(str(error)) from error

    def put(self, key: str, signed: bytes, expires: datetime | None, of_run: bool) -> None:
        if not self.is_shared:
            process_results.put(key, signed, expires, of_run)
            return
        if len(signed) > MOST_BYTES:
            raise OSError(f"it has {len(signed):,} bytes, and the API takes 8,000,000; see result_storage")
        hash = key_hash(key)
        with self._changing:
            self._fresh[hash, of_run] = signed
            self._fresh_bytes += len(signed)
            self._of_run.add(hash)
            is_much = self._fresh_bytes > MOST_BYTES_QUEUED
        data = b64encode(signed).decode()
        self._writer.result(
            {"key": key[:200], "hash": hash, "data": data, "of_run": of_run, "expires": expires}
        )
        if is_much:
            self._forget_sent()

    def _forget_sent(self) -> None:
        with self._changing:
            sent = dict(self._fresh)
        self._writer.flush()
        with self._changing:
            for name, signed in sent.items():
                if self._fresh.get(name) is signed:
                    del self._fresh[name]
            self._fresh_bytes = sum(map(len, self._fresh.values()))

    def _first_signer(self) -> Signer:
        try:
            return Signer.of_answer(self._writer.get("results/signing_keys"))
        except PortalApiError as error:
            if error.status not in {403, 404}:  # 404: a server that is older than we are
                raise
            logger.warning("Results are kept in this process only: %s", error)
            return process_results.signer


class HttpLocks:
    """Locks that last as long as the attempt which took them holds its run."""

    def __init__(self, results: HttpResults, writer: Writer) -> None:
        self._results = results
        self._writer = writer

    def acquire_lock(
        self, key: str, holder: str, acquire_timeout: float | None = None, hold_timeout: float | None = None
    ) -> bool:
        """Take the lock if it is free; return whether it is held now."""
        if not self._results.is_shared:
            return process_results.locks.acquire_lock(key, holder, acquire_timeout, hold_timeout)
        body = {"hash": key_hash(key), "holder": holder, "attempt": self._writer.attempt}
        held: bool = self._writer.post(f"flow_runs/{self._writer.run_id}/lock_result", body)["held"]
        return held

    def release_lock(self, key: str, holder: str) -> None:
        """Let go in the report that makes the result durable: who takes the lock next finds it."""
        if not self._results.is_shared:
            process_results.locks.release_lock(key, holder)
        else:
            self._writer.unlock(key_hash(key), holder)
