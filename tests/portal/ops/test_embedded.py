"""The embedded PostgreSQL by itself."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from portal.ops.embedded import Postgres
from portal.ops.embedded.postgres import wheel_binaries


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that PostgreSQL's user may enter: pytest's own is closed to others."""
    made = Path(tempfile.mkdtemp(prefix="portal-pg-"))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's PostgreSQL runs as another user")
def test_an_environment_that_only_root_may_enter_serves_all_the_same(folder: Path) -> None:
    package = wheel_binaries().parents[1]
    closed = folder / "root-only"
    closed.mkdir(mode=0o700)
    for part in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(part, closed / part.name, symlinks=True)

    server = Postgres(folder / "pg", binaries=closed / package.name / "pginstall" / "bin")
    server.start()
    try:
        with psycopg.connect(server.url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    finally:
        server.stop()
