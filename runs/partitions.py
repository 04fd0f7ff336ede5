"""Day partitions of the logs and events: made ahead, so that no row waits for one."""

from datetime import date, timedelta
from typing import Any

from django.db import connection

DAYS_AHEAD = 7
TABLES = ("runs_log", "runs_event")


def ensure_partitions(first: date, days: int = DAYS_AHEAD) -> int:
    """Make the partitions of `first` and the `days` after it that are missing; return how many.

    Rows of other days go to the DEFAULT partition, so a missing one loses nothing.
    """
    days_wanted = [first + timedelta(days=offset) for offset in range(days + 1)]
    with connection.cursor() as cursor:
        return sum(_ensure(cursor, table, day) for table in TABLES for day in days_wanted)


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


def make_after_migrating(**kwargs: Any) -> None:
    """Make today's and the next days' partitions as soon as the table exists."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('runs_event'), (now() AT TIME ZONE 'utc')::date")
        table, today = cursor.fetchone()
    if table is not None:
        ensure_partitions(today)
