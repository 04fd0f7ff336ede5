"""Which errors say that PostgreSQL is away, so that the same may work in a moment."""

import psycopg
from django.db import InterfaceError, OperationalError

# Errors of another kind by name: we stood still within a transaction, as on a machine that was suspended; the
# server has become a replica, as in a failover.
IN_OTHER_WORDS = (psycopg.errors.IdleInTransactionSessionTimeout, psycopg.errors.ReadOnlySqlTransaction)


def is_outage(error: BaseException) -> bool:
    """Whether this error of Django's means that."""
    return isinstance(error, (OperationalError, InterfaceError)) or isinstance(
        error.__cause__, IN_OTHER_WORDS
    )
