"""Which runs a backfill comes to: slots, grids, only what is missing, and what is refused."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from flows.catalog.slots import SlotRule
from flows.models import Calendar, Schedule
from flows.sdk.states import Cancelled, Completed, Crashed, Failed, State
from runs.backfills.plan import Plan
from runs.backfills.wish import BackfillError
from runs.create import create_flow_run
from tests.factories import make_deployment
from tests.runs.backfills.builders import SCHEMA, daily, end, march, planned

pytestmark = pytest.mark.django_db


def days(plan: Plan) -> list[int]:
    return [cell.slot.day for cell in plan.cells if cell.slot]


def wrong(**wanted: Any) -> str:
    """What a plan for a daily deployment is refused for."""
    with pytest.raises(BackfillError) as refused:
        planned(daily(parameter_openapi_schema=SCHEMA), **wanted)
    return str(refused.value)


def test_a_range_of_a_schedules_slots() -> None:
    plan = planned(daily(), **march(1, 4))

    assert [cell.slot for cell in plan.cells] == [datetime(2026, 3, n, 6, tzinfo=UTC) for n in range(1, 5)]


def test_days_are_whole_days_of_the_rules_time_zone() -> None:
    rule = SlotRule(cron="0 * * * *", timezone="Asia/Tokyo")

    plan = planned(make_deployment(), rule=rule, start=date(2026, 3, 1), end=date(2026, 3, 1))

    assert len(plan.cells) == 24
    assert plan.cells[0].slot == datetime(2026, 2, 28, 15, tzinfo=UTC)
    assert plan.cells[-1].slot == datetime(2026, 3, 1, 14, tzinfo=UTC)


def test_both_ends_of_a_range_belong_to_it() -> None:
    first, last = datetime(2026, 3, 1, 6, tzinfo=UTC), datetime(2026, 3, 3, 6, tzinfo=UTC)

    assert days(planned(daily(), start=first, end=last)) == [1, 2, 3]


def test_the_flows_only_date_gets_the_slot() -> None:
    deployment = daily(parameter_openapi_schema=SCHEMA)

    assert [cell.parameters for cell in planned(deployment, **march(1, 2)).cells] == [
        {"day": "2026-03-01"}, {"day": "2026-03-02"},
    ]  # fmt: skip


def test_a_slot_is_the_day_that_it_is_where_the_schedule_lives() -> None:
    deployment = make_deployment(parameter_openapi_schema=SCHEMA)
    rule = SlotRule(cron="0 6 * * *", timezone="Asia/Tokyo")  # 21:00 UTC of the day before

    plan = planned(deployment, rule=rule, start=date(2026, 3, 1), end=date(2026, 3, 1))

    assert [cell.parameters for cell in plan.cells] == [{"day": "2026-03-01"}]


def test_without_such_a_parameter_the_plan_says_where_the_slot_is() -> None:
    assert "runtime.flow_run.scheduled_start_time" in planned(daily(), **march(1, 2)).warnings[0]


def test_a_grid_is_every_combination() -> None:
    plan = planned(make_deployment(), grid={"city": ["Bern", "Oslo"], "depth": [1, 2]})

    assert [cell.parameters for cell in plan.cells] == [
        {"city": "Bern", "depth": 1}, {"city": "Bern", "depth": 2},
        {"city": "Oslo", "depth": 1}, {"city": "Oslo", "depth": 2},
    ]  # fmt: skip


def test_slots_and_a_grid_are_every_pair() -> None:
    plan = planned(daily(parameter_openapi_schema=SCHEMA), grid={"city": ["Bern", "Oslo"]}, **march(1, 3))

    assert len(plan.cells) == 6
    assert plan.cells[1].parameters == {"day": "2026-03-01", "city": "Oslo"}


def test_newest_first() -> None:
    assert days(planned(daily(), newest_first=True, **march(1, 3))) == [3, 2, 1]


def test_slots_that_have_not_passed_are_left_to_the_schedule() -> None:
    plan = planned(daily(), **march(9, 20))

    assert days(plan) == [9, 10]
    assert any("left to the schedule" in warning for warning in plan.warnings)


@pytest.mark.parametrize(
    ("which", "wanted"), [("all", [1, 2, 3, 4, 5]), ("missing", [3, 4, 5]), ("failed", [3, 4])]
)
def test_only_missing_or_failed(which: Any, wanted: list[int]) -> None:
    """Day 1 was completed after a failure, day 2 waits, 3 failed, 4 crashed, 5 was cancelled."""
    deployment = daily()
    outcomes: list[list[State]] = [[Failed(), Completed()], [], [Failed()], [Crashed()], [Cancelled()]]
    for day, states in enumerate(outcomes, start=1):
        for number in range(max(1, len(states))):
            run = create_flow_run(deployment, idempotency_key=f"{day}-{number}")
            type(run).objects.filter(id=run.id).update(slot=datetime(2026, 3, day, 6, tzinfo=UTC))
            if states:
                end(run, states[number])

    plan = planned(deployment, which=which, **march(1, 5))

    assert days(plan) == wanted
    assert plan.left_out == 5 - len(wanted)


def test_a_grid_asks_for_equal_parameters() -> None:
    deployment = make_deployment(parameters={"depth": 3})
    end(create_flow_run(deployment, parameters={"city": "Bern"}), Completed())
    end(create_flow_run(deployment, parameters={"city": "Oslo", "depth": 9}), Completed())

    plan = planned(deployment, which="missing", grid={"city": ["Bern", "Oslo"]})

    assert [cell.parameters for cell in plan.cells] == [{"city": "Oslo"}]


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        ({}, "start: say for which slots"),
        ({"start": date(2026, 3, 1)}, "end: a range of slots has a start and an end"),
        (march(4, 4) | {"end": datetime(2026, 3, 1, tzinfo=UTC)}, "end: is before the start"),
        ({"start": date(2027, 1, 1), "end": date(2027, 1, 2)}, "start: lies ahead"),
        ({"start": date(1, 1, 1), "end": date(9999, 12, 31)}, "end: is beyond what a calendar holds"),
        ({"grid": {"city": []}}, "grid.city: has no values"),
        (march(1, 2) | {"concurrency": 0}, "concurrency: must be at least 1"),
        (march(1, 2) | {"priority": 40_000}, "priority: must be from"),
        (march(1, 2) | {"grid": {"city": ["Bern", "Paris"]}}, "city: 'Paris' is not one of"),
        (march(1, 2) | {"grid": {"town": ["Bern"]}}, "town: there is no such parameter"),
        (march(1, 2) | {"grid": {"day": ["2026-01-01"]}, "slot_parameter": "day"}, "given twice"),
        (march(1, 2) | {"rule": SlotRule(cron="61 * * * *")}, "schedule: Cron '61 * * * *' cannot be read"),
        (march(1, 2) | {"rule": SlotRule(cron="@daily", timezone="Mars")}, "'Mars' is not a time zone"),
        (march(1, 2) | {"rule": SlotRule(interval=timedelta(0))}, "is too short"),
    ],
)
def test_what_cannot_be_is_refused(wanted: dict[str, Any], text: str) -> None:
    assert text in wrong(**wanted)


def test_a_deployment_must_have_one_schedule_or_say_which() -> None:
    several = daily()
    hourly = Schedule.objects.create(deployment=several, cron="@hourly")
    named = f"has several.*{hourly.id} .@hourly UTC"
    for deployment, text in ((make_deployment("none"), "has none"), (several, named)):
        with pytest.raises(BackfillError, match=text):
            planned(deployment, **march(1, 2))


@pytest.mark.parametrize(
    "wanted",
    [
        {
            "rule": SlotRule(interval=timedelta(seconds=30)),
            "start": date(2025, 3, 1),
            "end": date(2026, 3, 1),
        },
        {"grid": {"a": list(range(1000)), "b": list(range(1001))}},
        march(1, 9) | {"rule": SlotRule(interval=timedelta(hours=1)), "grid": {"a": list(range(6_000))}},
    ],
)
def test_more_than_a_million_runs_are_refused_at_once(wanted: dict[str, Any]) -> None:
    with pytest.raises(BackfillError, match="more than 1,000,000 runs"):
        planned(daily(), **wanted)


def test_the_limit_is_a_setting(settings: Any) -> None:
    settings.PORTAL_BACKFILL_MOST_RUNS = 3
    with pytest.raises(BackfillError, match="more than 3 runs"):
        planned(daily(), rule=SlotRule(interval=timedelta(days=1)), **march(1, 5))


def test_a_plan_is_made_with_few_queries(django_assert_max_num_queries: Any) -> None:
    deployment = daily(cron="*/10 * * * *")
    with django_assert_max_num_queries(3):
        assert len(planned(deployment, which="missing", **march(1, 9)).cells) == 9 * 144


def test_what_a_calendar_leaves_out_is_not_made_up_for() -> None:
    deployment = daily()
    calendar = Calendar.objects.create(
        workspace=deployment.workspace, name="bank", timezone="UTC", weekdays=[1, 2, 3, 4, 5]
    )
    Schedule.objects.update(calendar=calendar)

    assert days(planned(deployment, **march(1, 9))) == [2, 3, 4, 5, 6, 9]  # 2026-03-01 is a Sunday


def test_a_recurrence_rule_has_slots_too() -> None:
    deployment = make_deployment()
    Schedule.objects.create(
        deployment=deployment, rrule="DTSTART:20260301T060000Z\nRRULE:FREQ=DAILY;INTERVAL=3"
    )

    assert days(planned(deployment, **march(1, 9))) == [1, 4, 7]
