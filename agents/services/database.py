"""What all loops need from the database: its clock, and to be alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import cast
from zlib import crc32

from django.db import connection, transaction


def database_time() -> datetime:
    """Now, by the one clock that all processes share."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        return cast(datetime, cursor.fetchone()[0])


@contextmanager
def alone(name: str) -> Iterator[bool]:
    """A transaction that says whether it is the only one of this name; the others get False at once."""
    key = crc32(f"portal.services.{name}".encode())
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s::bigint)", [key])
        yield cursor.fetchone()[0]
