"""Backfills while schedulers and agents are killed: each cell becomes one run, and all of them do."""

import os
import signal
from datetime import UTC, datetime, timedelta

import pytest

from flows.catalog.slots import SlotRule
from runs.backfills.plan import plan
from runs.backfills.steer import create_backfill
from runs.backfills.wish import Wish
from runs.models import Backfill, BackfillCell, FlowRun
from tests.faults.conftest import Stage
from tests.processes import wait_until

pytestmark = pytest.mark.processes

START = datetime(2026, 3, 1, tzinfo=UTC)


def backfill(stage: Stage, flow: str, hours: int, concurrency: int) -> Backfill:
    """One run for each of so many hours."""
    wish = Wish(
        stage.deployment(flow),
        start=START,
        end=START + timedelta(hours=hours - 1),
        rule=SlotRule(interval=timedelta(hours=1)),
        parameters={"folder": str(stage.folder)},
        concurrency=concurrency,
    )
    return create_backfill(plan(wish, START + timedelta(days=365)))


def test_schedulers_that_are_killed_while_they_plan(stage: Stage) -> None:
    """What was not committed is drawn again by the next; two at once take turns."""
    minutes = 60_000
    wish = Wish(
        stage.deployment("count"),
        start=START,
        end=START + timedelta(minutes=minutes - 1),
        rule=SlotRule(interval=timedelta(minutes=1)),
        parameters={"folder": str(stage.folder)},
        concurrency=3,
        newest_first=True,
    )
    made = create_backfill(plan(wish, START + timedelta(days=365)))

    def planned() -> int:
        made.refresh_from_db()
        return made.total

    for reached in (5_000, 20_000):
        schedulers = [stage.stack.start("scheduler") for _ in range(2)]
        wait_until(lambda reached=reached: planned() >= reached, 30, what=f"{reached} are planned")
        for scheduler in schedulers:
            scheduler.process.kill()
    assert planned() < minutes, "too fast to be killed in the middle"
    stage.stack.start("scheduler")

    wait_until(lambda: planned() == minutes and made.state == "ACTIVE", 60, what="it is planned")
    cells = BackfillCell.objects.filter(backfill=made)
    assert cells.count() == cells.values("slot").distinct().count() == minutes
    last = START + timedelta(minutes=minutes - 1)
    assert [*cells.order_by("number").values_list("slot", flat=True)[:2]] == [
        last,
        last - timedelta(minutes=1),
    ]
    assert (made.start, made.end) == (START, last)
    wait_until(lambda: FlowRun.objects.filter(backfill=made).count() == 3, what="its first runs are made")


def is_completed(made: Backfill) -> bool:
    made.refresh_from_db()
    return made.state == "COMPLETED"


def assert_one_run_for_each_cell(made: Backfill) -> None:
    runs = FlowRun.objects.filter(backfill=made)
    assert runs.count() == made.total
    assert set(runs.values_list("slot", flat=True)) == {START + timedelta(hours=n) for n in range(made.total)}
    assert BackfillCell.objects.filter(backfill=made, flow_run=None).count() == 0


def test_schedulers_that_are_killed_while_they_release(stage: Stage) -> None:
    """Runs end behind everybody's back, so that only the schedulers' loops release the next ones."""
    made = backfill(stage, "count", hours=40, concurrency=5)
    schedulers = [stage.stack.start("scheduler") for _ in range(3)]
    kill_at = [10, 20]

    def all_ended() -> bool:
        if kill_at and FlowRun.objects.filter(backfill=made).count() >= kill_at[0]:
            kill_at.pop(0)
            schedulers.pop().process.kill()
        FlowRun.objects.filter(state_type="SCHEDULED").update(state_type="COMPLETED", state_name="Completed")
        return is_completed(made)

    wait_until(all_ended, 45, what="the backfill is completed")
    assert len(schedulers) == 1
    assert_one_run_for_each_cell(made)


def test_runs_follow_each_other_without_a_scheduler(stage: Stage) -> None:
    """Whoever ends a run releases the next: also a parent whose horse was killed."""
    made = backfill(stage, "count", hours=12, concurrency=2)
    stage.agent()
    stage.agent()

    wait_until(lambda: is_completed(made), 60, what="the backfill is completed")

    assert_one_run_for_each_cell(made)
    assert (stage.folder / "executions").read_text() == "once\n" * 12


def test_a_run_that_is_killed_makes_room_too(stage: Stage) -> None:
    made = backfill(stage, "hold", hours=2, concurrency=1)
    stage.agent()
    pid = stage.started(FlowRun.objects.get())

    os.kill(pid, signal.SIGKILL)
    stage.go()

    wait_until(lambda: is_completed(made), 60, what="the backfill is completed")
    states = FlowRun.objects.order_by("slot").values_list("state_type", flat=True)
    assert list(states) == ["CRASHED", "COMPLETED"]
