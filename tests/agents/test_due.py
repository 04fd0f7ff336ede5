"""Runs that are not due yet name their schedule, or the calendar that has moved them."""

from datetime import UTC, datetime

import pytest

from agents.services.materialise import Materialiser
from agents.waiting import waiting_on
from flows.models import Calendar
from runs.models import FlowRun
from tests.agents.services.builders import make_schedule, report_success
from tests.factories import default_workspace

pytestmark = pytest.mark.django_db

FRIDAY = datetime(2031, 6, 6, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def a_working_scheduler() -> None:
    report_success("sweep")


def test_the_schedule_and_its_zone_are_named() -> None:
    schedule = make_schedule(cron="0 6 * * *", timezone="Europe/Berlin", slug="early")
    Materialiser().step(FRIDAY)

    [reason] = waiting_on(FlowRun.objects.order_by("slot")[0])

    assert reason["code"] == "not_due_yet"
    assert reason["text"].startswith("It is due at 2031-06-07 04:00:00 UTC, in ")
    assert reason["text"].endswith(
        "(Sat 2031-06-07 06:00 in Europe/Berlin), by schedule 'early' (0 6 * * * Europe/Berlin)."
    )
    assert reason["link"] == {"kind": "schedule", "id": str(schedule.id)}


def test_a_run_that_was_moved_names_the_calendar() -> None:
    bank = Calendar.objects.create(workspace=default_workspace(), name="bank", weekdays=[1, 2, 3, 4, 5])
    make_schedule(cron="0 6 * * 7", calendar=bank, calendar_policy="move")
    Materialiser().step(FRIDAY)

    [reason] = waiting_on(FlowRun.objects.order_by("slot")[0])

    assert reason["code"] == "blocked_by_calendar"
    assert reason["text"].startswith(
        "Its slot, Sun 2031-06-08 06:00 in UTC, is forbidden: Sunday does not count in 'bank'. "
        "It is due at 2031-06-09 00:00:00 UTC, in "
    )
    assert reason["link"] == {"kind": "calendar", "id": str(bank.id)}
