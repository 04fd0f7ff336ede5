"""PostgreSQL breaks while runs work: restarts, killed backends, lost answers, deadlocks, conflicts."""

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest
from django.db import connection

from portal.ops.embedded import Postgres
from runs.models import FlowRun, TaskRun
from tests.faults.api import Api
from tests.faults.conftest import Stage
from tests.faults.load import Load
from tests.faults.reply_eater import ReplyEater
from tests.processes import wait_until

pytestmark = pytest.mark.processes

BREAKS = (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL)  # "fast", "immediate", and the memory killer


def test_every_run_survives_restarts_of_the_database(
    own_postgres: Postgres, own_stage: Stage, dice: random.Random
) -> None:
    own_stage.stack.start("scheduler").wait_for("Scheduler")
    own_stage.agent()
    own_stage.agent()
    load = Load(own_stage, 24)

    def restart() -> None:
        time.sleep(dice.uniform(0.3, 1.5))
        assert own_postgres.pid is not None
        os.kill(own_postgres.pid, dice.choice(BREAKS))
        wait_until(lambda: own_postgres.pid is None, what="PostgreSQL is down")
        time.sleep(dice.uniform(0, 0.7))
        own_postgres.start()

    assert load.suffer(restart) >= 4
    load.assert_each_completed_once()


def test_every_run_survives_killed_connections(stage: Stage, dice: random.Random) -> None:
    stage.stack.start("scheduler").wait_for("Scheduler")
    stage.agent()
    stage.agent()
    load = Load(stage, 12)
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as server:

        def kill_some() -> None:
            time.sleep(dice.uniform(0, 0.3))
            rows = server.execute(
                "SELECT pid FROM pg_stat_activity WHERE datname = %s AND application_name LIKE 'portal%%'",
                [connection.settings_dict["NAME"]],
            ).fetchall()
            for (pid,) in dice.sample(rows, len(rows) // 2):
                server.execute("SELECT pg_terminate_backend(%s)", [pid])

        assert load.suffer(kill_some) >= 10
    load.assert_each_completed_once()


@pytest.fixture
def lossy(stage: Stage, dice: random.Random) -> Iterator[ReplyEater]:
    """The way of all processes to PostgreSQL loses one answer to a commit in twenty."""
    server = Path(str(connection.get_connection_params()["host"]))
    with TemporaryDirectory(prefix="eater-") as folder:
        eater = ReplyEater(server, Path(folder), dice, loss=0.05)
        eater.start()
        url = stage.stack.database_url
        stage.stack.env["DATABASE_URL"] = f"{url.partition('?')[0]}?host={folder}"
        yield eater
        stage.stack.stop()
        eater.stop()


def test_a_commit_whose_answer_got_lost_is_done_once(stage: Stage, lossy: ReplyEater) -> None:
    """On the API, which is asked again with the same idempotency key, as well as on agents and scheduler."""
    stage.stack.start("scheduler").wait_for("Scheduler")
    api = Api(stage)
    stage.agent()
    stage.agent()
    deployment = stage.deployment("works")
    load = Load(stage, 0)
    load.ids = [api.create_run(deployment, f"key-{n}", folder=str(stage.folder)) for n in range(24)]

    load.suffer(lambda: time.sleep(0.1))

    assert lossy.eaten >= 10
    assert FlowRun.objects.count() == 24
    load.assert_each_completed_once()


def test_conflicting_writers_try_again(stage: Stage) -> None:
    """Under REPEATABLE READ, whoever loses a race for a row gets a serialisation failure."""
    name = connection.settings_dict["NAME"]
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as server:
        server.execute(
            f"ALTER DATABASE \"{name}\" SET default_transaction_isolation = 'repeatable read'".encode()
        )
    connection.close()
    stage.stack.start("scheduler").wait_for("Scheduler")
    stage.agent()
    stage.agent()
    load = Load(stage, 10)
    with psycopg.connect(os.environ["DATABASE_URL"], dbname=name, autocommit=True) as stranger:
        stranger.execute("SET default_transaction_isolation = 'read committed'")

        def touch_all() -> None:
            stranger.execute("UPDATE runs_flowrun SET priority = priority WHERE lease_expires IS NOT NULL")

        assert load.suffer(touch_all) > 50
    load.assert_each_completed_once()


def test_the_victim_of_a_deadlock_tries_again(stage: Stage) -> None:
    """A stranger locks a task run and then its flow run, and every process of ours the other way round."""
    stage.agent()
    run = stage.create("shares")
    stage.started(run)
    wait_until(lambda: TaskRun.objects.filter(flow_run=run, state_type="RUNNING").exists())
    url, name = os.environ["DATABASE_URL"], connection.settings_dict["NAME"]
    with psycopg.connect(url, dbname=name) as stranger, connection.cursor() as ours:
        stranger.execute("SET deadlock_timeout = '60s'")  # the other side notices first, and gives way
        stranger.execute("SELECT FROM runs_taskrun WHERE flow_run_id = %s FOR UPDATE", [run.id])
        stage.go()

        def somebody_waits() -> bool:
            ours.execute("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'")
            return bool(ours.fetchone()[0])

        wait_until(somebody_waits, what="the process waits for the task run")
        stranger.execute("UPDATE runs_flowrun SET priority = 1 WHERE id = %s", [run.id])
        stranger.commit()
    assert stage.ended(run).state_type == "COMPLETED"
    assert run.priority == 1
