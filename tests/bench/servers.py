"""The servers of the benchmarks: a PostgreSQL that really writes to disk, a Valkey, one database."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from portal.ops.embedded import Postgres, Valkey


@contextmanager
def durable_servers() -> Iterator[Path]:
    """Start both, point the environment at them, load Django and migrate; yields a scratch folder."""
    folder = Path(tempfile.mkdtemp(prefix="portal-bench-"))
    folder.chmod(0o711)  # as root, PostgreSQL runs as another user
    servers = [Postgres(folder / "pg"), Valkey(folder / "valkey")]
    for server in servers:
        server.launch()
    try:
        for server in servers:
            server.wait()
        os.environ["DATABASE_URL"], os.environ["REDIS_URL"] = (server.url for server in servers)
        os.environ["PORTAL_SECRET_KEY"] = "only-for-benchmarks-" + "0123456789" * 4
        os.environ["DJANGO_SETTINGS_MODULE"] = "portal.settings"
        _migrate()
        yield folder
    finally:
        for server in reversed(servers):
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _migrate() -> None:
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
