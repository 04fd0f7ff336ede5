"""A stage on which agents, horses and servers are killed."""

import os
import random
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import environ
import pytest
from django.db import connection
from pytest_django.plugin import DjangoDbBlocker

from flows.models import Deployment
from portal.ops.embedded import Postgres, Valkey
from runs.create import create_flow_run
from runs.models import FlowRun
from tests.factories import make_deployment
from tests.faults.invariants import assert_bounded, assert_invariants
from tests.processes import PATIENCE, Child, RunningStack, wait_until

OPTIONS = {"fsync": "off", "wal_recycle": "off"}  # files that may be needed later would make copies large
TERMINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


def is_alive(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


class Stage:
    """Runs the flows of `flow_file.py` on real agents."""

    def __init__(self, stack: RunningStack) -> None:
        self.stack = stack
        self.folder = stack.folder
        self.agents: list[Child] = []

    def agent(self, *arguments: str, **environment: str) -> Child:
        """An agent of the default queue that is ready for work."""
        agent = self.stack.start("rqworker", "default", *arguments, env=environment)
        self.agents.append(agent)
        agent.wait_for(" serves ")
        return agent

    def deployment(self, flow: str) -> Deployment:
        path = str(Path(__file__).parent)
        found = Deployment.objects.filter(name=flow).first()
        return found or make_deployment(flow, flow, path=path, entrypoint=f"flow_file.py:{flow}")

    def create(self, flow: str, **parameters: object) -> FlowRun:
        """A run that is due, and rung for."""
        return create_flow_run(self.deployment(flow), parameters={"folder": str(self.folder), **parameters})

    def started(self, run: FlowRun, timeout: float = PATIENCE) -> int:
        """Wait for the user's code; the pid of its process."""
        file = self.folder / "pid"
        try:
            wait_until(file.exists, timeout, what=f"{run.name} starts")
        except AssertionError as error:
            run.refresh_from_db()
            raise AssertionError(f"{error}; it is {run.state_name}: {run.state_message}") from None
        pid = int(file.read_text())
        file.unlink()
        return pid

    def child(self) -> int:
        """The pid of the process that the user's code started."""
        return int((self.folder / "child").read_text())

    def go(self) -> None:
        """Let `hold` end."""
        (self.folder / "go").touch()

    def ended(self, run: FlowRun, timeout: float = PATIENCE) -> FlowRun:
        """Wait for a terminal state, and return the run with it."""

        def over() -> bool:
            run.refresh_from_db()
            return run.state_type in TERMINAL

        try:
            wait_until(over, timeout, what=f"{run.name} ends")
        except AssertionError as error:
            said = "\n".join(agent.output for agent in self.agents)
            raise AssertionError(f"{error}; it is {run.state_name}. The agents said:\n{said}") from None
        return run

    def assert_in_order(self) -> None:
        """What must hold after every fault."""
        assert_invariants()
        assert_bounded(self.stack.living)


@pytest.fixture
def stage(stack: RunningStack) -> Iterator[Stage]:
    """A stage whose database and processes must be in order when the test is over."""
    stage = Stage(stack)
    yield stage
    stage.assert_in_order()


@pytest.fixture
def dice() -> random.Random:
    """Random choices. Their seed is printed with a failure; `FAULT_SEED` repeats it."""
    seed = int(os.environ.get("FAULT_SEED") or random.randrange(1 << 32))
    print(f"FAULT_SEED={seed}")
    return random.Random(seed)


@contextmanager
def open_folder(prefix: str) -> Iterator[Path]:
    """A folder that others may enter: as root, PostgreSQL runs as another user."""
    with TemporaryDirectory(prefix=prefix) as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


@pytest.fixture(scope="session")
def migrated_cluster() -> Iterator[Path]:
    """The files of a server with Portal's tables, to be copied: to make them takes ten times as long."""
    with open_folder("cluster-") as folder:
        server = Postgres(folder / "pg", options=OPTIONS)
        server.start()
        migrated = RunningStack(server.url, os.environ["REDIS_URL"], folder).run("migrate", timeout=180)
        server.stop()
        assert migrated.returncode == 0, migrated.stderr
        yield server.folder


@pytest.fixture
def postgres_folder() -> Iterator[Path]:
    """Where `own_postgres` keeps its data."""
    with open_folder("postgres-") as folder:
        yield folder


@pytest.fixture
def own_postgres(postgres_folder: Path, migrated_cluster: Path) -> Iterator[Postgres]:
    """A migrated server of this test's own, to be killed. What it has confirmed survives that."""
    server = Postgres(postgres_folder / "pg", options=OPTIONS)
    subprocess.run(["cp", "-a", str(migrated_cluster), str(server.folder)], check=True)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_stage(own_postgres: Postgres, django_db_blocker: DjangoDbBlocker, tmp_path: Path) -> Iterator[Stage]:
    """A stage on `own_postgres`, which the test's own ORM is pointed at."""
    stack = RunningStack(own_postgres.url, os.environ["REDIS_URL"], tmp_path)
    original = connection.settings_dict.copy()
    with django_db_blocker.unblock():
        connection.close()
        connection.settings_dict.update(environ.Env.db_url_config(own_postgres.url))
        try:
            stage = Stage(stack)
            yield stage
            stage.assert_in_order()
        finally:
            stack.stop()
            connection.close()
            connection.settings_dict.update(original)


@pytest.fixture
def valkey() -> Iterator[Valkey]:
    """A server of this test's own, to be killed."""
    with TemporaryDirectory(prefix="valkey-") as folder:
        server = Valkey(Path(folder) / "v", durable=False)
        server.start()
        yield server
        server.stop()
