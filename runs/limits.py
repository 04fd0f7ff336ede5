"""Slots of concurrency limits: taken together or not at all, leased, and freed by whatever ends first."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from uuid import UUID

from flows.sdk.ids import uuid7
from runs.session import Session, Transaction


class LimitError(ValueError):
    """The slots can never be had. The text says why."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Slots that somebody wants: `occupy` of each of `names`.

    `lease_id` is made by whoever asks, so that asking again after a lost answer takes nothing twice.
    `lease_seconds` None asks for a rate: the slots are never released, but decay.
    """

    workspace_id: UUID
    lease_id: UUID
    names: Sequence[str]
    occupy: int
    lease_seconds: float | None
    flow_run_id: UUID | None = None
    task_run_id: UUID | None = None
    holder: str = ""
    strict: bool = False  # a name without a limit is an error


@dataclass(frozen=True, slots=True)
class Answer:
    """`missing` are names without a limit, which hold nobody back. `wait_seconds` None: granted."""

    missing: tuple[str, ...]
    wait_seconds: float | None = None
    blocked_by: str = ""


# In order of ids, so that no two who want several limits wait for each other.
LOCK = """
SELECT id, name, "limit", active, slot_decay_per_second FROM runs_concurrencylimit
WHERE workspace_id = %s AND name = ANY(%s)
ORDER BY id FOR UPDATE
"""

HELD = """
s.expires > clock_timestamp() AND NOT EXISTS (
    SELECT 1 FROM runs_flowrun r
    WHERE r.id = s.flow_run_id AND r.state_type IN ('CANCELLED', 'COMPLETED', 'FAILED', 'CRASHED'))
"""

# A row that decays is held from its end backwards: of 5 slots that free themselves one a second, 2 are
# left when it expires in 1.5 s. A second statement, since only one that begins after the lock was got sees
# what the one before us took.
COUNT = f"""
SELECT s.limit_id,
       sum(CASE WHEN s.decays
           THEN least(s.occupied, ceil(left_.seconds * l.slot_decay_per_second)) ELSE s.occupied END),
       max(CASE WHEN s.decays THEN left_.seconds END),
       bool_or(s.lease = %s)
FROM runs_slot s
JOIN runs_concurrencylimit l ON l.id = s.limit_id
CROSS JOIN LATERAL (SELECT extract(epoch FROM s.expires - clock_timestamp()) AS seconds) left_
WHERE s.limit_id = ANY(%s) AND {HELD}
GROUP BY s.limit_id
"""

TAKE = """
WITH gone AS (
    DELETE FROM runs_slot WHERE limit_id = ANY(%s) AND expires <= clock_timestamp()
)
INSERT INTO runs_slot
    (id, limit_id, lease, occupied, decays, flow_run_id, task_run_id, holder, acquired, expires)
SELECT t.id, t.limit_id, %s, %s, %s, %s, %s, %s, clock_timestamp(),
       clock_timestamp() + make_interval(secs => t.seconds)
FROM unnest(%s::uuid[], %s::uuid[], %s::float8[]) AS t(id, limit_id, seconds)
ON CONFLICT (limit_id, lease) DO NOTHING
"""

RENEW = f"""
UPDATE runs_slot s SET expires = clock_timestamp() + make_interval(secs => %s)
FROM runs_concurrencylimit l
WHERE l.id = s.limit_id AND l.workspace_id = %s AND s.lease = %s AND NOT s.decays AND {HELD}
RETURNING s.id
"""

RELEASE = """
DELETE FROM runs_slot s USING runs_concurrencylimit l
WHERE l.id = s.limit_id AND l.workspace_id = %s AND s.lease = %s AND NOT s.decays
RETURNING s.id
"""


@dataclass(frozen=True, slots=True)
class _Limit:
    """A locked limit, and what is taken of it."""

    id: UUID
    name: str
    limit: int
    active: bool
    decay: float
    taken: int = 0
    decayed_in: float = 0.0  # seconds until all that decays is gone
    is_ours: bool = False  # an earlier request of the same lease was granted


def acquire(session: Session, wanted: Wanted) -> Answer:
    """Take the slots of all names, or none. Raises LimitError if that can never succeed."""
    with session.transaction() as tx:
        found = _locked(tx, wanted)
        missing = tuple(name for name in wanted.names if name not in {limit.name for limit in found})
        limits = [limit for limit in found if limit.active]
        if missing and wanted.strict:
            raise LimitError(f"There is no concurrency limit {', '.join(missing)}.")
        _check(limits, wanted)
        if all(limit.is_ours for limit in limits):
            return Answer(missing)
        full = [limit for limit in limits if limit.taken + wanted.occupy > limit.limit]
        if full:
            longest = max(full, key=lambda limit: _wait(limit, wanted.occupy))
            return Answer(missing, _wait(longest, wanted.occupy), longest.name)
        _take(tx, limits, wanted)
    return Answer(missing)


def _locked(tx: Transaction, wanted: Wanted) -> list[_Limit]:
    rows = tx.execute(LOCK, [wanted.workspace_id, list(wanted.names)])
    counts = {}
    if rows:
        counted = tx.execute(COUNT, [wanted.lease_id, [row[0] for row in rows]])
        counts = {row[0]: (int(row[1]), float(row[2] or 0), row[3]) for row in counted}
    return [_Limit(*row, *counts.get(row[0], ())) for row in rows]


def _check(limits: Sequence[_Limit], wanted: Wanted) -> None:
    for limit in limits:
        if wanted.occupy > limit.limit:
            raise LimitError(f"Limit '{limit.name}' has {limit.limit} slots, and {wanted.occupy} are wanted.")
        if wanted.lease_seconds is None and limit.decay <= 0:
            raise LimitError(f"Limit '{limit.name}' is no rate: set its slot_decay_per_second above 0.")


def _wait(limit: _Limit, occupy: int) -> float:
    """Seconds until enough may have decayed; infinite, if somebody must release slots."""
    excess = limit.taken + occupy - limit.limit
    decaying = limit.decayed_in * limit.decay
    if limit.decay <= 0 or excess > decaying + 1:
        return inf
    return max(0.0, limit.decayed_in - (decaying - excess) / limit.decay)


def _take(tx: Transaction, limits: Sequence[_Limit], wanted: Wanted) -> None:
    ids = [limit.id for limit in limits]
    seconds = [_seconds(limit, wanted) for limit in limits]
    holder = [wanted.flow_run_id, wanted.task_run_id, wanted.holder]
    rate = wanted.lease_seconds is None
    tx.execute(
        TAKE,
        [ids, wanted.lease_id, wanted.occupy, rate, *holder, [uuid7() for _ in ids], ids, seconds],
    )


def _seconds(limit: _Limit, wanted: Wanted) -> float:
    """What decays stands in a row: this is gone when all before it is gone, and then itself."""
    if wanted.lease_seconds is None:
        return limit.decayed_in + wanted.occupy / limit.decay
    return wanted.lease_seconds


def renew(session: Session, workspace_id: UUID, lease_id: UUID, seconds: float) -> bool:
    """Hold the slots of a lease for `seconds` from now; False if they are lost."""
    with session.transaction() as tx:
        return bool(tx.execute(RENEW, [seconds, workspace_id, lease_id]))


def release(session: Session, workspace_id: UUID, lease_id: UUID) -> bool:
    """Free the slots of a lease; False if they were free already."""
    with session.transaction() as tx:
        return bool(tx.execute(RELEASE, [workspace_id, lease_id]))
