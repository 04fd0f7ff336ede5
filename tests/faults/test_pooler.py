"""PgBouncer between Portal and PostgreSQL, in both of its usual modes."""

import os
import pwd
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from portal.ops import processes
from portal.ops.embedded import Postgres
from portal.ops.embedded.postgres import SUPERUSER
from runs.models import ConcurrencyLimit, FlowRun
from tests.factories import default_workspace
from tests.faults.api import Api
from tests.faults.conftest import Stage
from tests.faults.load import Load
from tests.processes import wait_until

PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or ""

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(not PGBOUNCER, reason="pgbouncer is not installed"),
]

CONFIG = """
[databases]
* = host={server} user={user}
[pgbouncer]
unix_socket_dir = {folder}
auth_type = any
pool_mode = {mode}
default_pool_size = 60
idle_transaction_timeout = 10
"""


@pytest.fixture(params=["session", "transaction"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def pooled(own_postgres: Postgres, own_stage: Stage, mode: str) -> Iterator[Stage]:
    """A stage whose processes reach PostgreSQL through PgBouncer, which does not run as root either."""
    user = own_postgres.folder.owner()
    caller = "" if user == pwd.getpwuid(os.geteuid()).pw_name else user
    with TemporaryDirectory(prefix="bouncer-") as name:
        folder = Path(name)
        config = folder / "pgbouncer.ini"
        config.write_text(CONFIG.format(server=own_postgres.folder, user=SUPERUSER, folder=folder, mode=mode))
        shutil.chown(folder, user)
        if caller:
            _let_in(own_postgres, caller)
        bouncer = processes.spawn(
            [PGBOUNCER, str(config)],
            death_signal=signal.SIGTERM,
            log_file=own_stage.folder / "pgbouncer.log",
            user=caller or None,
        )
        wait_until((folder / ".s.PGSQL.6432").exists, what="PgBouncer listens")
        own_stage.stack.env["DATABASE_URL"] = f"postgresql://{SUPERUSER}@/postgres?host={folder}&port=6432"
        yield own_stage
        own_stage.stack.stop()
        processes.end(bouncer, signal.SIGTERM, timeout=5)


def _let_in(postgres: Postgres, user: str) -> None:
    with (postgres.folder / "pg_ident.conf").open("a") as lines:
        lines.write(f'callers "{user}" {SUPERUSER}\n')
    assert postgres.pid is not None
    os.kill(postgres.pid, signal.SIGHUP)


def test_everything_works_behind_a_pooler(pooled: Stage, mode: str) -> None:
    """Among it what stands on LISTEN, on locks and on many statements of a connection."""
    pooled.stack.env["PORTAL_POOLER"] = mode
    prepared = pooled.stack.run("prepare")
    assert prepared.returncode == 0, prepared.stderr
    pooled.stack.start("scheduler").wait_for("Scheduler")
    api = Api(pooled)
    pooled.agent()
    pooled.agent()
    ConcurrencyLimit.objects.create(workspace=default_workspace(), name="gate", limit=1)
    pooled.go()

    load = Load(pooled, 6)
    load.ids += [pooled.create("holds_a_slot").id for _ in range(2)]
    deployment = pooled.deployment("shares")
    load.ids += [api.create_run(deployment, f"key-{n}", folder=str(pooled.folder)) for n in range(2)]
    load.suffer(lambda: time.sleep(0.1))

    assert load.states() == {"Completed": 10}
    assert api.client.get("/api/ready").json() == {"status": "ready"}
    assert api.client.get(f"/api/flow_runs/{load.ids[-1]}").json()["state_type"] == "COMPLETED"
    assert FlowRun.objects.filter(attempt=1).count() == 10


@pytest.mark.parametrize("mode", ["session"], indirect=True)
def test_a_pooler_that_nobody_spoke_of_is_named(pooled: Stage) -> None:
    advice = "Set PORTAL_POOLER to its pool_mode, session or transaction."
    assert advice in pooled.stack.start("scheduler").wait_for(advice)
    assert advice in pooled.stack.start("rqworker", "default").wait_for(advice)
