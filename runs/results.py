"""Results of an agent's runs: small ones in PostgreSQL, large ones in files, all of them signed.

What is put waits with the task states of the recorder, and becomes durable with them.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Protocol, TypeVar
from uuid import UUID

from django.conf import settings

from flows.sdk import storage
from flows.sdk.ids import uuid7
from flows.sdk.recorder import Aborted
from flows.sdk.results import key_hash
from flows.sdk.signing import Signer
from runs.models import Result
from runs.session import Transaction

logger = logging.getLogger(__name__)

MOST_BYTES_IN_A_ROW = 512 * 1024
MOST_BYTES_QUEUED = 16 * 1024 * 1024

WORKSPACE = "SELECT workspace_id FROM runs_flowrun WHERE id = %s"

DIGESTS_OF_RUN = "SELECT digest FROM runs_result WHERE flow_run_id = %s"

GET = """
SELECT data, url FROM runs_result
WHERE workspace_id = %s AND digest = %s AND flow_run_id IS NOT DISTINCT FROM %s
  AND (expires IS NULL OR expires > now())
"""

# Arrays go in binary form: as text, psycopg looks through every element for what must be quoted.
PUT = """
INSERT INTO runs_result AS r (id, workspace_id, flow_run_id, digest, key, data, url, expires, created)
SELECT n.id, %s, n.flow_run_id, n.digest, n.key, n.data, n.url, n.expires, now()
FROM unnest(%b::uuid[], %b::uuid[], %b::text[], %b::text[], %b::bytea[], %b::text[], %b::timestamptz[])
    AS n(id, flow_run_id, digest, key, data, url, expires)
ON CONFLICT (workspace_id, digest) DO UPDATE SET
    flow_run_id = excluded.flow_run_id, data = excluded.data, url = excluded.url, expires = excluded.expires,
    created = excluded.created
"""

# The lease of a lock is that of its run: an attempt that nobody renews any more holds nothing.
LOCK = """
INSERT INTO runs_resultlock AS l (id, workspace_id, flow_run_id, attempt, digest, holder, created)
SELECT %s, workspace_id, id, attempt, %s, %s, now() FROM runs_flowrun WHERE id = %s AND attempt = %s
ON CONFLICT (workspace_id, digest) DO UPDATE SET
    flow_run_id = excluded.flow_run_id, attempt = excluded.attempt, holder = excluded.holder, created = now()
WHERE l.holder = excluded.holder OR NOT EXISTS (
    SELECT FROM runs_flowrun r
    WHERE r.id = l.flow_run_id AND r.attempt = l.attempt AND r.lease_expires IS NOT NULL)
RETURNING 1
"""

UNLOCK = "DELETE FROM runs_resultlock WHERE flow_run_id = %s AND digest = %s AND holder = %s"

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class NewResult:
    """A result on its way to its row."""

    digest: str
    key: str
    data: bytes
    url: str
    expires: datetime | None
    flow_run_id: UUID | None
    id: UUID = field(default_factory=uuid7)


class Writer(Protocol):
    """What results need of the recorder that they belong to."""

    run_id: UUID
    attempt: int
    result_scope: UUID  # the run whose own results these are; that of an earlier run, if they are shared

    def result(self, result: NewResult) -> None:
        """Queue a result."""
        ...

    def flush(self) -> None: ...

    def transact(self, work: Callable[[Transaction], Answer]) -> Answer:
        """Do `work` in a transaction, again and again while PostgreSQL is away."""
        ...

    def flush_with(self, also: Callable[[Transaction], Answer]) -> Answer:
        """As `transact`, in one transaction with all that is queued."""
        ...


class DatabaseResults:
    """The results of one attempt of a run and its subflows. What waits in the queue is found, too."""

    durable = True

    def __init__(self, writer: Writer, workspace_id: UUID | None = None) -> None:
        """The workspace is looked up if it is not given."""
        self._writer = writer
        self._queued: dict[str, NewResult] = {}
        self._queued_bytes = 0
        self._changing = threading.Lock()
        self._digests_put: set[str] = set()
        self._digests_before: set[str] | None = None
        self._workspace_id = workspace_id
        self._signer: Signer | None = None
        self.locks = DatabaseLocks(writer)

    @property
    def signer(self) -> Signer:
        if self._signer is None:
            self._signer = signer_of(self._workspace())
        return self._signer

    def get(self, key: str, of_run: bool) -> bytes | None:
        run_id = self._owner(key) if of_run else None
        digest = digest_of(key_hash(key), run_id)
        if queued := self._queued.get(digest):
            return queued.data or storage.read(queued.url)
        if of_run and not self._is_known(digest):
            return None
        return self._writer.transact(lambda tx: find_result(tx, self._workspace(tx), key_hash(key), run_id))

    def put(self, key: str, signed: bytes, expires: datetime | None, of_run: bool) -> None:
        run_id = self._owner(key) if of_run else None
        new = new_result(key, key_hash(key), signed, expires, run_id, self._workspace)
        with self._changing:
            if of_run:
                self._digests_put.add(new.digest)
            self._queued[new.digest] = new
            self._queued_bytes += len(new.data)
            is_much = self._queued_bytes > MOST_BYTES_QUEUED
        self._writer.result(new)
        if is_much:
            self._writer.flush()

    def _owner(self, key: str) -> UUID:
        """Whose result it is: calls are shared with the run that this one is made after, its end is not."""
        run_id = self._writer.run_id
        return run_id if key.startswith(f"{run_id}/") else self._writer.result_scope

    def note_durable(self, results: Sequence[NewResult]) -> None:
        """These are in their rows now, and need not be remembered."""
        with self._changing:
            for result in results:
                self._queued_bytes -= len(result.data)
                if self._queued.get(result.digest) is result:
                    del self._queued[result.digest]

    def _is_known(self, digest: str) -> bool:
        """For keys of this run alone: a run in its first try is spared a question for each call."""
        if self._digests_before is None:
            found = self._writer.transact(lambda tx: digests_of_run(tx, self._writer.result_scope))
            self._digests_before = set(found)
        return digest in self._digests_put or digest in self._digests_before

    def _workspace(self, tx: Transaction | None = None) -> UUID:
        if self._workspace_id is None:
            if tx is None:
                return self._writer.transact(self._workspace)
            rows = tx.execute(WORKSPACE, [self._writer.run_id])
            if not rows:
                raise Aborted(f"there is no flow run {self._writer.run_id}")
            self._workspace_id = rows[0][0]
        return self._workspace_id


class DatabaseLocks:
    """Locks that last as long as the attempt which took them holds its run."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def acquire_lock(
        self, key: str, holder: str, acquire_timeout: float | None = None, hold_timeout: float | None = None
    ) -> bool:
        """Take the lock if it is free; return whether it is held now."""
        run = self._writer.run_id, self._writer.attempt
        return self._writer.transact(lambda tx: lock_result(tx, *run, key_hash(key), holder))

    def release_lock(self, key: str, holder: str) -> None:
        """Let go in the transaction that makes the result durable: who takes the lock next finds it."""
        run_id = self._writer.run_id
        self._writer.flush_with(lambda tx: unlock_result(tx, run_id, key_hash(key), holder))


def new_result(
    key: str,
    hash: str,
    signed: bytes,
    expires: datetime | None,
    run_id: UUID | None,
    workspace_id: Callable[[], UUID],
) -> NewResult:
    """A result for its row. The bytes of a large one go to their file at once. Raises OSError.

    `hash` is the `key_hash` of the key; `run_id` is given for a key that means something to that run alone.
    """
    digest, url = digest_of(hash, run_id), ""
    if len(signed) > MOST_BYTES_IN_A_ROW:
        url = storage.address(f"{settings.PORTAL_RESULT_STORAGE}/{workspace_id()}", digest)
        storage.write(url, signed)
        signed = b""
    return NewResult(digest, _shown(key), signed, url, expires, run_id)


def find_result(tx: Transaction, workspace_id: UUID, hash: str, run_id: UUID | None) -> bytes | None:
    """What was put last, unless it has expired; arguments as in `new_result`. Raises OSError."""
    rows = tx.execute(GET, [workspace_id, digest_of(hash, run_id), run_id])
    if not rows:
        return None
    data, url = rows[0]
    found = bytes(data) or storage.read(url)
    if found is None:
        logger.warning(
            "A large result lies at %s, which is not there on this host, so it is computed anew: set "
            "PORTAL_RESULT_STORAGE to a place that all agents share.",
            url,
        )
    return found


def digests_of_run(tx: Transaction, run_id: UUID) -> list[str]:
    """The digests of what the run keeps for itself alone."""
    return [row[0] for row in tx.execute(DIGESTS_OF_RUN, [run_id])]


def lock_result(tx: Transaction, run_id: UUID, attempt: int, hash: str, holder: str) -> bool:
    """Lock a key for an attempt that owns its run; whether it is held now."""
    return bool(tx.execute(LOCK, [uuid7(), digest_of(hash), holder, run_id, attempt]))


def unlock_result(tx: Transaction, run_id: UUID, hash: str, holder: str) -> None:
    """Let a key go, if `holder` has it."""
    tx.execute(UNLOCK, [run_id, digest_of(hash), holder])


def signer_of(workspace_id: UUID) -> Signer:
    """Signs and verifies the results of a workspace."""
    return Signer(settings.PORTAL_RESULT_KEYS, str(workspace_id))


def insert_results(tx: Transaction, workspace_id: UUID, results: Sequence[NewResult]) -> None:
    """Write results; of several with one key, the last. In key order, so that none wait in a circle."""
    last = {result.digest: result for result in results}
    rows = [last[digest] for digest in sorted(last)]
    columns = ("id", "flow_run_id", "digest", "key", "data", "url", "expires")
    tx.execute(PUT, [workspace_id, *([getattr(row, column) for row in rows] for column in columns)])


def remove_expired_results(now: datetime) -> int:
    """Delete what nobody may use any more, with its files; return how many."""
    expired = Result.objects.filter(expires__lte=now)
    for url in expired.exclude(url="").values_list("url", flat=True):
        try:
            storage.remove(url)
        except OSError as error:
            logger.warning("The expired result at %s could not be removed: %s", url, error)
    removed, _ = expired.delete()
    return removed


def digest_of(hash: str, run_id: UUID | None = None) -> str:
    """What stands for a key in the database: keys may be of any length, with any characters.

    No key of a run, whoever chose it, has the digest of another run's, or of a shared one.
    """
    # Not hmac.digest: it lets other threads in each time, which costs a flow of many threads the most.
    return sha256((run_id.bytes if run_id else b"shared") + hash.encode()).hexdigest()


def _shown(key: str) -> str:
    start = key[:200]
    return start if start.isprintable() else "".join(c if c.isprintable() else "\ufffd" for c in start)
