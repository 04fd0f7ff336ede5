"""A disk is full: PostgreSQL's, or the one where agents and server keep their files."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from logging import WARNING
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest
from django.db import connection

from agents.claim import LEASE_SECONDS
from portal.ops.embedded import Postgres
from runs.models import FlowRun, Log
from tests.faults.api import Api
from tests.faults.conftest import Stage
from tests.faults.load import Load
from tests.faults.small_disk import SmallDisk, small_disk
from tests.processes import wait_until

pytestmark = pytest.mark.processes


@pytest.fixture
def disk() -> Iterator[SmallDisk]:
    with small_disk(mebibytes=400) as disk:
        yield disk


@pytest.fixture
def postgres_folder(disk: SmallDisk) -> Path:
    return disk.folder


@pytest.fixture
def log_elsewhere(own_postgres: Postgres) -> Iterator[None]:
    """PostgreSQL's log of changes is on another disk, as administrators like to have it."""
    with TemporaryDirectory(prefix="wal-") as folder:
        own_postgres.stop()
        Path(folder).chmod(0o711)
        log, moved = own_postgres.folder / "pg_wal", Path(folder) / "pg_wal"
        subprocess.run(["cp", "-a", str(log), str(moved)], check=True)
        shutil.rmtree(log)
        log.symlink_to(moved)
        own_postgres.start()
        yield


def test_every_run_survives_a_disk_that_is_too_full_for_the_database(
    disk: SmallDisk, own_postgres: Postgres, own_stage: Stage
) -> None:
    """PostgreSQL stops when its log finds no room, and cannot be started before there is some."""
    load = under_way(own_stage)
    disk.fill()
    with suppress(psycopg.OperationalError), psycopg.connect(own_postgres.url, autocommit=True) as server:
        server.execute("SELECT pg_switch_wal()")  # whatever comes next needs another file
    wait_until(lambda: own_postgres.pid is None, timeout=60, what="PostgreSQL gives up")
    time.sleep(3)
    disk.free()
    own_postgres.start()
    connection.close()
    load.suffer(lambda: time.sleep(0.1))
    assert load.states() == {"Completed": 9}


@pytest.mark.usefixtures("log_elsewhere")
def test_every_run_survives_a_database_that_refuses_to_grow(
    disk: SmallDisk, own_postgres: Postgres, own_stage: Stage
) -> None:
    """It still answers, and changes what needs no room."""
    api = Api(own_stage)
    load = under_way(own_stage)
    disk.fill()
    refused = "No space left on device"
    for agent in own_stage.agents:
        agent.wait_for(refused, timeout=30)

    address = f"/api/deployments/{own_stage.deployment('works').id}/create_flow_run"
    answer = api.client.post(address, json={"parameters": {"folder": str(own_stage.folder)}})
    assert answer.status_code in {201, 503}  # what little it needs may have been there
    time.sleep(LEASE_SECONDS + 1)

    disk.free()
    load.suffer(lambda: time.sleep(0.1))
    assert load.states() == {"Completed": 9}


def under_way(stage: Stage) -> Load:
    """A run that writes much, and others beside it."""
    stage.stack.start("scheduler").wait_for("Scheduler")
    stage.agent()
    stage.agent()
    flood = stage.create("floods", lines=60_000, width=400)
    stage.started(flood)
    load = Load(stage, 8)
    load.ids.append(flood.id)
    return load


def test_agents_and_server_need_no_room_for_files(disk: SmallDisk, stage: Stage) -> None:
    """But for a result that is too large for a row: it is not kept, and the run's log says so."""
    for name in ("TMPDIR", "PORTAL_DATA_DIR", "PORTAL_RESULT_STORAGE", "PORTAL_CACHE_DIR"):
        stage.stack.env[name] = str(disk.folder)
    disk.fill()
    stage.stack.start("scheduler").wait_for("Scheduler")
    api = Api(stage)
    stage.agent()
    stage.agent()
    stage.go()

    run_id = api.create_run(stage.deployment("works"), "key", folder=str(stage.folder))
    assert stage.ended(FlowRun.objects.get(id=run_id)).state_type == "COMPLETED"
    large = stage.ended(stage.create("lands"))
    assert large.state_type == "COMPLETED"
    told = Log.objects.get(flow_run=large, level=WARNING).message
    assert told.startswith(
        "The result is not kept for retries or caching: [Errno 28] No space left on device"
    )
