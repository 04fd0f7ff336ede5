"""Runs whose agent died are ended; runs whose agent lives are not."""

from datetime import UTC, datetime, timedelta

import pytest

from agents.services.database import database_time
from agents.services.reaper import Reaper, end_expired
from runs.create import NewRun, insert_runs
from runs.models import FlowRun
from runs.session import DjangoSession
from tests.factories import lease, make_run

pytestmark = pytest.mark.django_db

SECOND = timedelta(seconds=1)


def dead_run(state: str = "RUNNING") -> FlowRun:
    """A run whose agent has not renewed its lease in time."""
    run = lease(make_run(), attempt=3, seconds=-1)
    FlowRun.objects.filter(id=run.id).update(state_type=state, state_name=state.capitalize())
    return run


def tick(reaper: Reaper, start: datetime, *seconds: float) -> None:
    for second in seconds:
        reaper.step(start + second * SECOND)


def test_a_dead_agent_crashes_its_run() -> None:
    run = dead_run()

    assert end_expired(database_time()) == 1

    run.refresh_from_db()
    assert (run.state_type, run.lease_expires) == ("CRASHED", None)
    assert run.state_message.startswith("Agent test on localhost stopped responding (its lease ran out at")


def test_a_run_with_crash_retries_is_scheduled_again() -> None:
    run = dead_run()
    FlowRun.objects.filter(id=run.id).update(crash_retries=1, crash_retry_delay_seconds=60)
    before = database_time()

    assert end_expired(before) == 1

    run.refresh_from_db()
    assert (run.state_name, run.lease_expires, run.end_time) == ("AwaitingRetry", None, None)
    assert run.expected_start_time >= before + 60 * SECOND
    assert [state.name for state in run.states.order_by("timestamp")][-2:] == ["Crashed", "AwaitingRetry"]


def test_a_run_that_was_being_cancelled_is_cancelled() -> None:
    run = dead_run("CANCELLING")

    end_expired(database_time())

    run.refresh_from_db()
    assert run.state_type == "CANCELLED"


def test_open_subflows_end_with_their_root() -> None:
    root = dead_run()
    child = NewRun(root.workspace_id, root.flow_id, "child", root_run_id=root.id)
    insert_runs(DjangoSession(), [child])

    end_expired(database_time())

    assert FlowRun.objects.get(id=child.id).state_type == "CRASHED"


def test_a_living_agent_keeps_its_run() -> None:
    lease(make_run(), seconds=5)

    assert end_expired(database_time()) == 0


def test_the_reaper_ends_nothing_before_it_ticked_for_a_whole_lease() -> None:
    run, reaper, start = dead_run(), Reaper(), database_time()

    tick(reaper, start, *range(8))
    run.refresh_from_db()
    before = run.state_type
    tick(reaper, start, 8)

    run.refresh_from_db()
    assert (before, run.state_type) == ("RUNNING", "CRASHED")


def test_after_a_gap_every_agent_gets_a_whole_lease_again() -> None:
    reaper, start = Reaper(), datetime.now(UTC)
    tick(reaper, start, *range(9))
    run = dead_run()

    tick(reaper, start, *range(20, 28))
    run.refresh_from_db()
    before = run.state_type
    tick(reaper, start, 28)

    run.refresh_from_db()
    assert (before, run.state_type) == ("RUNNING", "CRASHED")


def test_a_clock_that_is_put_back_gives_every_agent_a_whole_lease() -> None:
    reaper, start = Reaper(), database_time()
    tick(reaper, start + 3600 * SECOND, *range(20))
    run = dead_run()

    tick(reaper, start, *range(8))
    run.refresh_from_db()
    before = run.state_type
    tick(reaper, start, 8)

    run.refresh_from_db()
    assert (before, run.state_type) == ("RUNNING", "CRASHED")


def test_a_lease_of_before_the_clock_was_put_back_is_none() -> None:
    """Who lives has renewed it since, by the clock as it is now."""
    lease(make_run(), seconds=8)
    silent = lease(make_run(), seconds=3600)

    assert end_expired(database_time()) == 1

    silent.refresh_from_db()
    assert silent.lease_expires is None


def test_a_script_may_have_asked_for_a_long_lease() -> None:
    run = lease(make_run(), seconds=3599)
    FlowRun.objects.filter(id=run.id).update(agent=None)

    assert end_expired(database_time()) == 0
