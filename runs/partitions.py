"""Day partitions of the log table: made ahead, so that no line waits for one."""

from datetime import date, timedelta
from typing import Any

from django.db import connection

DAYS_AHEAD = 7


def ensure_partitions(first: date, days: int = DAYS_AHEAD) -> int:
    """Make the partitions of `first` and the `days` after it that are missing; return how many.

    Lines of other days go to the DEFAULT partition, so a missing one loses nothing.
    """
    made = 0
    with connection.cursor() as cursor:
        for offset in range(days + 1):
            day = first + timedelta(days=offset)
            name = f"runs_log_{day:%Y%m%d}"
            cursor.execute("SELECT to_regclass(%s)", [name])
            if cursor.fetchone()[0] is not None:
                continue
            bounds = (f"{day.isoformat()} 00:00+00", f"{(day + timedelta(days=1)).isoformat()} 00:00+00")
            cursor.execute(
                f"CREATE TABLE IF NOT EXISTS {name} PARTITION OF runs_log "
                f"FOR VALUES FROM ('{bounds[0]}') TO ('{bounds[1]}')"
            )
            made += 1
    return made


def make_after_migrating(**kwargs: Any) -> None:
    """Make today's and the next days' partitions as soon as the table exists."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('runs_log'), (now() AT TIME ZONE 'utc')::date")
        table, today = cursor.fetchone()
    if table is not None:
        ensure_partitions(today)
