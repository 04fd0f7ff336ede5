"""Large backfills: looked at at once, planned chunk by chunk, by whoever is there."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction

from agents.services.planning import plan_backfills
from flows.catalog.slots import SlotRule
from flows.models import Calendar, Schedule
from flows.sdk.states import Completed
from runs.backfills import plan as plans
from runs.backfills import planning
from runs.backfills.cells import Cell, Drawer, Place
from runs.backfills.plan import Plan
from runs.backfills.planning import plan_next_chunk
from runs.backfills.steer import (
    NotPossibleError,
    cancel_backfill,
    change_concurrency,
    create_backfill,
    pause_backfill,
    resume_backfill,
)
from runs.create import create_flow_run
from runs.models import Backfill, BackfillCell, FlowRun
from tests.factories import make_deployment
from tests.runs.backfills.builders import NOW, SCHEMA, daily, end, march, planned

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than ten cells are many, and a chunk has seven."""
    monkeypatch.setattr(plans, "AT_ONCE", 9)
    monkeypatch.setattr(plans, "SHOWN", 3)
    monkeypatch.setattr(planning, "CHUNK", 7)
    monkeypatch.setattr(planning, "CHUNK_OF_TRIED", 7)


def all_at_once(monkeypatch: pytest.MonkeyPatch, *args: Any, **wanted: Any) -> list[Cell]:
    with monkeypatch.context() as patched:
        patched.setattr(plans, "AT_ONCE", 100_000)
        whole = planned(*args, **wanted)
    assert whole.is_whole
    return whole.cells


def finish(plan: Plan) -> Backfill:
    made = create_backfill(plan)
    assert (made.state, made.total) == ("PLANNING", 0)
    while plan_backfills(NOW):
        pass
    made.refresh_from_db()
    return made


def cells_of(backfill: Backfill) -> list[Cell]:
    rows = BackfillCell.objects.filter(backfill=backfill).order_by("number")
    numbers = list(rows.values_list("number", flat=True))
    assert numbers == list(range(backfill.total))
    return [Cell(*row) for row in rows.values_list("slot", "parameters")]


GRID = {"city": ["Bern", "Oslo", "Rome"], "depth": [1, 2, 3, 4, 5, 6, 7]}
WANTED: list[dict[str, Any]] = [
    march(1, 9) | {"rule": SlotRule(cron="0 */2 * * *", timezone="Europe/Zurich")},
    march(1, 9) | {"rule": SlotRule(interval=timedelta(hours=5))},
    {"start": datetime(2020, 1, 1, tzinfo=UTC), "end": NOW, "rule": SlotRule(cron="30 4 1 */3 *")},
    march(1, 9) | {"rule": SlotRule(cron="0 6,7 * * *"), "grid": {"city": ["Bern", "Oslo"]}},
    {"grid": GRID | {"day": ["2026-03-01"]}},
]


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("wanted", WANTED)
def test_what_is_planned_in_chunks_is_what_is_planned_at_once(
    monkeypatch: pytest.MonkeyPatch, wanted: dict[str, Any], newest_first: bool
) -> None:
    deployment = make_deployment(parameter_openapi_schema=SCHEMA)
    wanted = {**wanted, "newest_first": newest_first, "concurrency": 2}
    expected = all_at_once(monkeypatch, deployment, **wanted)

    plan = planned(deployment, **wanted)
    made = finish(plan)

    assert len(expected) > 15
    assert not plan.is_whole
    assert [*plan.first, *plan.last] == [*expected[:3], *expected[-3:]]
    assert abs(plan.count - len(expected)) <= 0.2 * len(expected)
    assert cells_of(made) == expected
    slots = [cell.slot for cell in expected if cell.slot]
    if slots:
        assert (made.start, made.end) == (min(slots), max(slots))
    assert (made.state, made.released, made.planned_percent) == ("ACTIVE", 2, 100)
    assert FlowRun.objects.filter(backfill=made).count() == 2


def test_a_calendar_counts_in_chunks_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    deployment = daily("0 */3 * * *")
    calendar = Calendar.objects.create(
        workspace=deployment.workspace, name="bank", timezone="UTC", weekdays=[1, 2, 3, 4, 5]
    )
    Schedule.objects.update(calendar=calendar)
    expected = all_at_once(monkeypatch, deployment, **march(1, 9))

    assert len(expected) == 6 * 8
    assert cells_of(finish(planned(deployment, **march(1, 9)))) == expected


def test_only_what_is_missing_is_planned() -> None:
    deployment = daily("0 * * * *")
    for hour in range(12):
        run = create_flow_run(deployment, idempotency_key=str(hour))
        FlowRun.objects.filter(id=run.id).update(slot=datetime(2026, 3, 1, hour, tzinfo=UTC))
        end(run, Completed())

    made = finish(planned(deployment, which="missing", **march(1, 1)))

    assert [cell.slot.hour for cell in cells_of(made) if cell.slot] == list(range(12, 24))


def test_nothing_left_to_run_is_over_at_once() -> None:
    deployment = daily("0 * * * *")
    for hour in range(24):
        run = create_flow_run(deployment, idempotency_key=str(hour))
        FlowRun.objects.filter(id=run.id).update(slot=datetime(2026, 3, 1, hour, tzinfo=UTC))
        end(run, Completed())

    made = finish(planned(deployment, which="missing", **march(1, 1)))

    assert (made.state, made.total) == ("COMPLETED", 0)
    assert "Nothing was left to run" in made.message


def test_progress_is_seen_and_each_chunk_is_one_step() -> None:
    made = create_backfill(planned(daily("0 * * * *"), **march(1, 2)))
    seen = []
    while made.state == "PLANNING":
        assert plan_next_chunk()
        made.refresh_from_db()
        seen.append((made.total, made.planned_percent))

    assert [total for total, _ in seen] == [7, 14, 21, 28, 35, 42, 48]
    assert [percent for _, percent in seen] == sorted(percent for _, percent in seen)
    assert not plan_next_chunk()


def test_a_chunk_that_is_broken_off_leaves_nothing() -> None:
    """As when its scheduler is killed before the commit."""
    made = create_backfill(planned(daily("0 * * * *"), **march(1, 2)))
    plan_next_chunk()
    with transaction.atomic():
        plan_next_chunk()
        transaction.set_rollback(True)
    assert BackfillCell.objects.filter(backfill=made).count() == 7

    while plan_next_chunk():
        pass

    made.refresh_from_db()
    assert made.total == 48
    assert len({cell.slot for cell in cells_of(made)}) == 48


def test_a_schedule_that_changes_meanwhile_changes_nothing() -> None:
    made = create_backfill(planned(daily("0 * * * *"), **march(1, 2)))
    plan_next_chunk()
    Schedule.objects.all().delete()
    while plan_next_chunk():
        pass

    made.refresh_from_db()
    assert (made.state, made.total) == ("ACTIVE", 48)


def test_what_turns_out_to_be_too_much_is_given_up(settings: Any) -> None:
    settings.PORTAL_BACKFILL_MOST_RUNS = 30

    made = finish(planned(daily("0 * * * *"), **march(1, 2)))

    assert (made.state, made.total, BackfillCell.objects.count()) == ("CANCELLED", 0, 0)
    assert "this is more than 30 runs" in made.message


def test_a_backfill_that_is_planned_can_be_cancelled_but_not_paused() -> None:
    made = create_backfill(planned(daily("0 * * * *"), **march(1, 2)))
    plan_next_chunk()
    for change in (pause_backfill, resume_backfill):
        with pytest.raises(NotPossibleError, match="still being planned"):
            change(made.id)

    cancel_backfill(made.id, "No more.")

    assert not plan_next_chunk()
    made.refresh_from_db()
    assert (made.state, made.planning) == ("CANCELLED", None)
    assert not FlowRun.objects.exists()


def test_concurrency_changes_at_once() -> None:
    made = create_backfill(planned(daily(), concurrency=2, **march(1, 9)))

    assert change_concurrency(made.id, 5).released == 5
    assert change_concurrency(made.id, 1).concurrency == 1
    for run in FlowRun.objects.order_by("slot")[:4]:
        end(run, Completed())
    assert FlowRun.objects.count() == 5
    end(FlowRun.objects.get(state_type="SCHEDULED"), Completed())
    assert FlowRun.objects.count() == 6

    cancel_backfill(made.id, "No more.")
    with pytest.raises(NotPossibleError, match="it is cancelled"):
        change_concurrency(made.id, 3)


def test_concurrency_may_change_while_it_is_planned() -> None:
    made = create_backfill(planned(daily("0 * * * *"), concurrency=2, **march(1, 2)))
    change_concurrency(made.id, 4)
    while plan_next_chunk():
        pass

    made.refresh_from_db()
    assert (made.concurrency, made.released) == (4, 4)


def test_a_place_survives_its_row() -> None:
    plan = planned(daily("0 * * * *"), newest_first=True, **march(1, 2))
    _, place = Drawer(plan.wish, plan.within).draw(Place(), 5)

    assert Place.of_json(place.as_json()) == place
