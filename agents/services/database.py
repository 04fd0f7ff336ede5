"""What all loops need from the database: its clock, and to be alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import cast
from zlib import crc32

from django.db import connection, transaction


def database_time() -> datetime:
    """Now, by the one clock that all processes share."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        return cast(datetime, cursor.fetchone()[0])


# A process that was stopped (SIGSTOP, a frozen machine) in the middle of a step loses its transaction after
# this, and with it the lock that keeps all others from working.
LONGEST_SILENCE = timedelta(seconds=10)

_LOCK = """
SELECT pg_try_advisory_xact_lock(%s::bigint),
       set_config('idle_in_transaction_session_timeout', %s, true)
"""


@contextmanager
def alone(name: str) -> Iterator[bool]:
    """A transaction that says whether it is the only one of this name; the others get False at once."""
    key = crc32(f"portal.services.{name}".encode())
    silence = str(LONGEST_SILENCE // timedelta(milliseconds=1))
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_LOCK, [key, silence])
        yield cursor.fetchone()[0]
