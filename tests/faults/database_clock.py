"""The clock of the database, which is set while everybody works.

The functions that tell the time are looked up like all others: those of the schema `public` are found
before those of `pg_catalog`, if the search path says so.
"""

import os
from datetime import timedelta

import psycopg
from django.db import connection

TELLS_THE_TIME = {
    "clock_timestamp": "VOLATILE",
    "now": "STABLE",
    "statement_timestamp": "STABLE",
    "transaction_timestamp": "STABLE",
}


class DatabaseClock:
    """Make it before the processes that shall see it: a connection keeps the search path it began with."""

    def __init__(self) -> None:
        name = connection.settings_dict["NAME"]
        connection.close()
        self._server = psycopg.connect(os.environ["DATABASE_URL"], dbname=name, autocommit=True)
        self._server.execute("CREATE TABLE clock AS SELECT interval '0' AS ahead")
        for function, volatility in TELLS_THE_TIME.items():
            self._server.execute(
                f"CREATE FUNCTION public.{function}() RETURNS timestamptz LANGUAGE sql {volatility} AS "
                f"'SELECT pg_catalog.{function}() + ahead FROM public.clock'".encode()
            )
        self._server.execute(f'ALTER DATABASE "{name}" SET search_path = public, pg_catalog'.encode())

    def set(self, ahead: timedelta) -> None:
        """From now on it differs from the real time by so much."""
        self._server.execute("UPDATE public.clock SET ahead = %s", [ahead])

    def close(self) -> None:
        """Set it right: the server's own notes of its sessions never were wrong."""
        self.set(timedelta(0))
        self._server.close()
