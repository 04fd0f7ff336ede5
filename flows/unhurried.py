"""Changes that a server must be able to finish, however many rows they touch.

Each statement of a server has a time limit, so that no question keeps PostgreSQL busy. Somebody who deletes
what a long history refers to asks for no less the next time, and would never get it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction


@contextmanager
def unhurried() -> Iterator[None]:
    """A transaction in which statements, from here on, may take any time; nests as a savepoint."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 0")
        yield
