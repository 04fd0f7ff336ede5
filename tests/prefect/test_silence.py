"""Runs of Prefect's clients that fall silent."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from agents.services.silence import SilenceKeeper
from runs.client_reports import note_heartbeats
from runs.models import FlowRun, Log
from runs.session import DjangoSession
from runs.silence import end_silent, hear_from_now_on
from tests.factories import lease, make_run
from tests.prefect.runs import prefect_run

pytestmark = pytest.mark.django_db
EVERY = timedelta(minutes=3)
NOW = datetime.now(UTC)


def running(heard: timedelta | None, since: timedelta = timedelta(hours=1)) -> FlowRun:
    """A run that is RUNNING for an hour, and was heard so long ago."""
    return prefect_run(
        state_type="RUNNING",
        state_name="Running",
        state_timestamp=NOW - since,
        last_heartbeat=None if heard is None else NOW - heard,
    )


def test_a_run_that_missed_three_heartbeats_has_crashed() -> None:
    run = running(heard=timedelta(minutes=9, seconds=1))

    assert end_silent(DjangoSession(), NOW, EVERY) == 1

    run.refresh_from_db()
    assert run.state_type == "CRASHED"
    assert "Nothing was heard of its process since the heartbeat of" in run.state_message
    assert Log.objects.filter(flow_run=run, message__startswith="Crashed.").exists()


@pytest.mark.parametrize(
    "run",
    [
        lambda: running(heard=timedelta(minutes=8)),
        lambda: running(heard=None),
        lambda: running(heard=timedelta(minutes=30), since=timedelta(minutes=2)),
        lambda: prefect_run(last_heartbeat=NOW - timedelta(days=1)),
    ],
    ids=["heard", "never heard", "started again", "not running"],
)
def test_others_go_on(run: Callable[[], FlowRun]) -> None:
    made = run()

    assert end_silent(DjangoSession(), NOW, EVERY) == 0
    made.refresh_from_db()
    assert made.state_type != "CRASHED"


def test_a_run_of_an_agent_is_judged_by_its_lease() -> None:
    run = lease(make_run())
    FlowRun.objects.filter(id=run.id).update(
        state_type="RUNNING", state_timestamp=NOW - EVERY * 9, last_heartbeat=NOW - EVERY * 9
    )

    assert end_silent(DjangoSession(), NOW, EVERY) == 0


def test_a_heartbeat_is_noted_for_ones_own_runs_alone() -> None:
    run = running(heard=timedelta(hours=1))
    before = run.last_heartbeat
    assert before is not None

    with DjangoSession().transaction() as tx:
        note_heartbeats(tx, run.flow_id, [run.id])
    run.refresh_from_db()
    assert run.last_heartbeat == before

    with DjangoSession().transaction() as tx:
        note_heartbeats(tx, run.workspace_id, [run.id])
    run.refresh_from_db()
    assert run.last_heartbeat > before


def test_a_server_that_starts_gives_everybody_time() -> None:
    run = running(heard=timedelta(hours=1))

    hear_from_now_on(DjangoSession())

    assert end_silent(DjangoSession(), NOW, EVERY) == 0
    run.refresh_from_db()
    assert run.state_type == "RUNNING"


def test_the_keeper_looks_for_a_while_before_it_judges() -> None:
    run = running(heard=timedelta(hours=1))
    keeper = SilenceKeeper()

    keeper.step(NOW)
    run.refresh_from_db()
    assert run.state_type == "RUNNING"

    for second in range(1, 10):
        keeper.step(NOW + timedelta(seconds=second))
    run.refresh_from_db()
    assert run.state_type == "CRASHED"
