"""PostgreSQL and Valkey out of wheels: a real stack with nothing to install. Linux only.

A server lives in one folder and belongs to the process that started it: it shares no terminal with it,
and the kernel stops it when that process dies. Only this package touches the wheels.
"""

from portal.ops.embedded.postgres import Postgres
from portal.ops.embedded.server import ServerError
from portal.ops.embedded.valkey import Valkey

__all__ = ["Postgres", "ServerError", "Valkey"]
