"""Day partitions of the logs and events: made ahead, so that no row waits for one, and dropped when old."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db import connection, transaction

DAYS_AHEAD = 7
LOGS, EVENTS = "runs_log", "runs_event"
TIME_COLUMNS = {LOGS: "timestamp", EVENTS: "occurred"}

# Dropping needs the whole table for a moment. Whoever writes must not queue behind us while we wait for it.
MOST_LOCK_WAIT = "1s"
STRAYS = 10_000


def ensure_partitions(first: date, days: int = DAYS_AHEAD) -> int:
    """Make the partitions of `first` and the `days` after it that are missing; return how many.

    Rows of other days go to the DEFAULT partition, so a missing one loses nothing.
    """
    days_wanted = [first + timedelta(days=offset) for offset in range(days + 1)]
    with connection.cursor() as cursor:
        return sum(_ensure(cursor, table, day) for table in TIME_COLUMNS for day in days_wanted)


def _ensure(cursor: Any, table: str, day: date) -> bool:
    name = f"{table}_{day:%Y%m%d}"
    cursor.execute("SELECT to_regclass(%s)", [name])
    if cursor.fetchone()[0] is not None:
        return False
    bounds = (f"{day.isoformat()} 00:00+00", f"{(day + timedelta(days=1)).isoformat()} 00:00+00")
    cursor.execute(
        f"CREATE TABLE IF NOT EXISTS {name} PARTITION OF {table} "
        f"FOR VALUES FROM ('{bounds[0]}') TO ('{bounds[1]}')"
    )
    return True


def partitions_before(table: str, day: date) -> list[str]:
    """The names of the partitions whose day lies before `day`, oldest first."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
            r"WHERE i.inhparent = %s::regclass AND c.relname ~ '_\d{8}$' ORDER BY c.relname",
            [table],
        )
        names = [row[0] for row in cursor.fetchall()]
    return [name for name in names if name.rpartition("_")[2] < f"{day:%Y%m%d}"]


def drop_partition(name: str) -> None:
    """Drop one of those that `partitions_before` named.

    Raises OperationalError when the table was in use for a second: try again later.
    """
    with _impatient_cursor() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS {connection.ops.quote_name(name)}")


def remove_strays(table: str, day: date) -> int:
    """Delete up to 10,000 rows of before `day` that no partition was there for; return how many."""
    column = TIME_COLUMNS[table]
    with connection.cursor() as cursor:
        cursor.execute(
            f"DELETE FROM {table}_default WHERE ctid = ANY(ARRAY("
            f"SELECT ctid FROM {table}_default WHERE {column} < %s LIMIT %s))",
            [datetime.combine(day, time(), UTC), STRAYS],
        )
        return int(cursor.rowcount)


@contextmanager
def _impatient_cursor() -> Iterator[Any]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [MOST_LOCK_WAIT])
        yield cursor


def make_after_migrating(**kwargs: Any) -> None:
    """Make today's and the next days' partitions as soon as the table exists."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('runs_event'), (now() AT TIME ZONE 'utc')::date")
        table, today = cursor.fetchone()
    if table is not None:
        ensure_partitions(today)
