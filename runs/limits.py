"""Slots of concurrency limits: taken together or not at all, leased, and freed by whatever ends first.

Whoever finds too few free slots stands in line: nobody who comes later is served before, not even one who
wants fewer. It keeps its place by asking again; after 5 s of silence it has gone. A limit of 0 is closed:
whoever asks stands in line until it is raised.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from math import inf
from typing import cast
from uuid import UUID

from flows.sdk.ids import uuid7
from runs.session import Row, Session, Transaction


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
    stands_in_line: bool = True  # False: comes with another lease each time, and would stand behind itself


@dataclass(frozen=True, slots=True)
class Answer:
    """`missing` are names without a limit, which hold nobody back. `wait_seconds` None: granted.

    `position` is the place in line for the limit `blocked_by`: 1 is next.
    """

    missing: tuple[str, ...]
    wait_seconds: float | None = None
    blocked_by: str = ""
    position: int = 0


# In order of ids, so that no two who want several limits wait for each other.
LOCK = """
SELECT id, name, "limit", active, slot_decay_per_second FROM runs_concurrencylimit
WHERE workspace_id = %s AND name = ANY(%s)
ORDER BY id FOR UPDATE
"""


def still_held(since: str, even_so: str = "false") -> str:
    """SQL: whether the slots or the place `s`, taken at `since`, still count.

    They end with their run, and with the attempt that took them: one that was killed or handed back gave
    nothing back, and the next would wait for itself. Those that are `even_so` do not.
    """
    return f"""
s.expires > clock_timestamp() AND NOT EXISTS (
    SELECT 1 FROM runs_flowrun r
    WHERE r.id = s.flow_run_id AND NOT {even_so} AND (
        r.state_type IN ('CANCELLED', 'COMPLETED', 'FAILED', 'CRASHED')
        OR r.state_type = 'SCHEDULED' AND r.lease_expires IS NULL
        OR {since} < r.claimed_time))
"""


# A row that decays is held from its end backwards: of 5 slots that free themselves one a second, 2 are
# left when it expires in 1.5 s. A second statement, since only one that begins after the lock was got sees
# what the one before us took.
COUNT = f"""
SELECT l.id, held.slots, held.seconds, held.ours, line.slots, line.length
FROM runs_concurrencylimit l
CROSS JOIN LATERAL (
    SELECT coalesce(sum(CASE WHEN s.decays
               THEN least(s.occupied, ceil(left_.seconds * l.slot_decay_per_second))
               ELSE s.occupied END), 0) AS slots,
           coalesce(max(CASE WHEN s.decays THEN left_.seconds END), 0) AS seconds,
           coalesce(bool_or(s.lease = %s), false) AS ours
    FROM runs_slot s
    CROSS JOIN LATERAL (SELECT extract(epoch FROM s.expires - clock_timestamp()) AS seconds) left_
    WHERE s.limit_id = l.id AND {still_held("s.acquired", even_so="s.decays")}
) held
CROSS JOIN LATERAL (
    SELECT coalesce(sum(s.wanted), 0) AS slots, count(*) AS length
    FROM runs_waiter s
    LEFT JOIN runs_waiter mine
        ON mine.limit_id = s.limit_id AND mine.lease = %s AND mine.expires > clock_timestamp()
    WHERE s.limit_id = l.id AND {still_held("s.since")} AND s.lease <> %s
      AND (mine.id IS NULL OR (s.since, s.lease) < (mine.since, mine.lease))
) line
WHERE l.id = ANY(%s)
"""

# One stands in line only where it is full: meanwhile somebody else may use the other slots.
# Who asks again in time keeps its places; who does not stands at the end.
WAIT = """
WITH gone AS (
    DELETE FROM runs_waiter WHERE limit_id = ANY(%s) AND lease <> %s AND expires <= clock_timestamp()
), moment AS MATERIALIZED (
    SELECT clock_timestamp() AS since, clock_timestamp() + make_interval(secs => %s) AS expires
), kept AS (
    UPDATE runs_waiter w SET expires = moment.expires FROM moment
    WHERE w.lease = %s AND w.expires > clock_timestamp()
)
INSERT INTO runs_waiter (id, limit_id, lease, wanted, flow_run_id, holder, since, expires)
SELECT t.id, t.limit_id, %s, %s, %s, %s, moment.since, moment.expires
FROM unnest(%s::uuid[], %s::uuid[]) AS t(id, limit_id), moment
WHERE NOT EXISTS (
    SELECT 1 FROM runs_waiter w
    WHERE w.limit_id = t.limit_id AND w.lease = %s AND w.expires > clock_timestamp())
ON CONFLICT (limit_id, lease) DO UPDATE SET since = excluded.since, expires = excluded.expires
"""
LEAVE = "DELETE FROM runs_waiter WHERE limit_id = ANY(%s) AND lease = %s RETURNING limit_id"
LEAVE_ALL = """
DELETE FROM runs_waiter w USING runs_concurrencylimit l
WHERE l.id = w.limit_id AND l.workspace_id = %s AND w.lease = %s
RETURNING w.limit_id
"""
PRESENCE_SECONDS = 5.0

TAKE = """
WITH gone AS (
    DELETE FROM runs_slot WHERE limit_id = ANY(%s) AND lease <> %s AND expires <= clock_timestamp()
)
INSERT INTO runs_slot
    (id, limit_id, lease, occupied, decays, flow_run_id, task_run_id, holder, acquired, expires)
SELECT t.id, t.limit_id, %s, %s, %s, %s, %s, %s, clock_timestamp(),
       clock_timestamp() + make_interval(secs => t.seconds)
FROM unnest(%s::uuid[], %s::uuid[], %s::float8[]) AS t(id, limit_id, seconds)
ON CONFLICT (limit_id, lease) DO UPDATE SET
    occupied = excluded.occupied, acquired = excluded.acquired, expires = excluded.expires
"""

RENEW = f"""
UPDATE runs_slot s SET expires = clock_timestamp() + make_interval(secs => %s)
FROM runs_concurrencylimit l
WHERE l.id = s.limit_id AND l.workspace_id = %s AND s.lease = %s AND NOT s.decays
  AND {still_held("s.acquired")}
RETURNING s.id
"""

RELEASE = """
DELETE FROM runs_slot s USING runs_concurrencylimit l
WHERE l.id = s.limit_id AND l.workspace_id = %s AND s.lease = %s AND NOT s.decays
RETURNING s.limit_id
"""


# Tells the first in each line, by its lease, and nobody if there is none. A hint: who misses it asks anyway.
CHANNEL = "portal_slots"


def tell_first_of(limits: str) -> str:
    """SQL: tell who is first in line for each of the limits, which is a condition on the place `s`."""
    return f"""
SELECT pg_notify('{CHANNEL}', first.lease::text) AS told FROM (
    SELECT DISTINCT ON (s.limit_id) s.lease FROM runs_waiter s
    WHERE {limits} AND {still_held("s.since")}
    ORDER BY s.limit_id, s.since, s.lease
) first
"""


WAKE = tell_first_of("s.limit_id = ANY(%s)")
TELL_ALL = f"SELECT pg_notify('{CHANNEL}', lease::text) FROM runs_waiter WHERE limit_id = %s"

# What is locked is just being counted, or cleared away, by somebody else: waiting could be a deadlock.
FORGET_EXPIRED = """
WITH slots AS (
    DELETE FROM runs_slot WHERE id IN (
        SELECT id FROM runs_slot WHERE expires <= clock_timestamp() FOR UPDATE SKIP LOCKED)
    RETURNING limit_id
), places AS (
    DELETE FROM runs_waiter WHERE id IN (
        SELECT id FROM runs_waiter WHERE expires <= clock_timestamp() FOR UPDATE SKIP LOCKED)
    RETURNING limit_id
)
SELECT limit_id FROM slots UNION SELECT limit_id FROM places
"""
# Who waits for a rate knows the moment.
NEXT_EXPIRY = """
SELECT min(expires) FROM (
    SELECT expires FROM runs_slot WHERE NOT decays UNION ALL SELECT expires FROM runs_waiter
) held WHERE expires > clock_timestamp()
"""
FREE_ALL = "DELETE FROM runs_slot WHERE limit_id = %s RETURNING limit_id"


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
    ahead: int = 0  # slots that those want who stand before us
    line: int = 0  # how many those are

    def is_full(self, occupy: int) -> bool:
        return self.taken + self.ahead + occupy > self.limit


def acquire(session: Session, wanted: Wanted) -> Answer:
    """Take the slots of all names, or none; what this lease holds already is held anew.

    Raises LimitError if that can never succeed.
    """
    with session.transaction() as tx:
        found = _locked(tx, wanted)
        missing = tuple(name for name in wanted.names if name not in {limit.name for limit in found})
        limits = [limit for limit in found if limit.active]
        if missing and wanted.strict:
            raise LimitError(f"There is no concurrency limit {', '.join(missing)}.")
        _check(limits, wanted)
        if all(limit.is_ours for limit in limits):
            if wanted.lease_seconds is not None:
                tx.execute(RENEW, [wanted.lease_seconds, wanted.workspace_id, wanted.lease_id])
            return Answer(missing)
        full = [limit for limit in limits if limit.is_full(wanted.occupy)]
        if full:
            if wanted.stands_in_line:
                _stand_in_line(tx, full, wanted)
            longest = max(full, key=lambda limit: _wait(limit, wanted.occupy))
            return Answer(missing, _wait(longest, wanted.occupy), longest.name, longest.line + 1)
        _take(tx, limits, wanted)
        _wake(tx, tx.execute(LEAVE, [[limit.id for limit in limits], wanted.lease_id]))
    return Answer(missing)


def _locked(tx: Transaction, wanted: Wanted) -> list[_Limit]:
    rows = tx.execute(LOCK, [wanted.workspace_id, list(wanted.names)])
    counts = {}
    if rows:
        lease = wanted.lease_id
        counted = tx.execute(COUNT, [lease, lease, lease, [row[0] for row in rows]])
        counts = {row[0]: (int(row[1]), float(row[2]), row[3], int(row[4]), row[5]) for row in counted}
    return [_Limit(*row, *counts.get(row[0], ())) for row in rows]


def _check(limits: Sequence[_Limit], wanted: Wanted) -> None:
    for limit in limits:
        if 0 < limit.limit < wanted.occupy:
            raise LimitError(
                f"Limit '{limit.name}' has {limit.limit} slots, and {wanted.occupy} are wanted. "
                "Raise the limit, or ask for fewer."
            )
        if wanted.lease_seconds is None and limit.decay <= 0:
            raise LimitError(f"Limit '{limit.name}' is no rate: set its slot_decay_per_second above 0.")


def _wait(limit: _Limit, occupy: int) -> float:
    """Seconds until enough may have decayed; infinite, if somebody must release slots or raise the limit."""
    if limit.limit == 0:
        return inf
    excess = limit.taken + occupy - limit.limit
    decaying = limit.decayed_in * limit.decay
    if limit.decay <= 0 or excess > decaying + 1:
        return inf
    return max(0.0, limit.decayed_in - (decaying - excess - limit.ahead) / limit.decay)


def _stand_in_line(tx: Transaction, full: Sequence[_Limit], wanted: Wanted) -> None:
    ids, lease = [limit.id for limit in full], wanted.lease_id
    who = [lease, wanted.occupy, wanted.flow_run_id, wanted.holder]
    tx.execute(WAIT, [ids, lease, PRESENCE_SECONDS, lease, *who, [uuid7() for _ in ids], ids, lease])


def _take(tx: Transaction, limits: Sequence[_Limit], wanted: Wanted) -> None:
    ids = [limit.id for limit in limits]
    seconds = [_seconds(limit, wanted) for limit in limits]
    holder = [wanted.flow_run_id, wanted.task_run_id, wanted.holder]
    rate, lease = wanted.lease_seconds is None, wanted.lease_id
    tx.execute(
        TAKE,
        [ids, lease, lease, wanted.occupy, rate, *holder, [uuid7() for _ in ids], ids, seconds],
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
    """Free the slots of a lease, or leave the line for them; False if they were free already."""
    with session.transaction() as tx:
        left = tx.execute(LEAVE_ALL, [workspace_id, lease_id])
        freed = tx.execute(RELEASE, [workspace_id, lease_id])
        _wake(tx, [*left, *freed])
    return bool(freed)


def tell_first(session: Session, limit_id: UUID) -> None:
    """Let who is first in line ask at once, as when its limit was raised."""
    with session.transaction() as tx:
        _wake(tx, [(limit_id,)])


def tell_all(session: Session, limit_id: UUID) -> None:
    """Let everybody in line ask at once, as when there is no such limit any more."""
    session.execute(TELL_ALL, [limit_id])


def free_all(session: Session, limit_id: UUID) -> None:
    """Take the slots of a limit from whoever holds them."""
    with session.transaction() as tx:
        _wake(tx, tx.execute(FREE_ALL, [limit_id])[:1])


def forget_expired(session: Session) -> datetime | None:
    """Remove slots whose lease has run out, and places in line of those who went, and wake who is next.

    Return when the next one runs out; None if nobody holds or wants any.
    """
    with session.transaction() as tx:
        _wake(tx, tx.execute(FORGET_EXPIRED))
        [(following,)] = tx.execute(NEXT_EXPIRY)
    return cast("datetime | None", following)


def _wake(tx: Transaction, limits: Sequence[Row]) -> None:
    """Tell those who are now the first in line for these limits: there may be slots for them."""
    if limits:
        tx.execute(WAKE, [[limit_id for (limit_id,) in limits]])
