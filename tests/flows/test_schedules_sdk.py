"""`Cron`, `Interval` and `RRule` as they are written, and what is refused where it is written."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from flows.schedules import Cron, Interval, RRule, Schedule
from flows.sdk.schedules import wanted


def test_what_the_api_is_sent() -> None:
    cron = Cron("0 6 13 * 5", timezone="Europe/Berlin", day_or=False, slug="friday-13th", calendar="bank")
    rrule = RRule("FREQ=DAILY", parameters={"n": 1}, calendar="bank", calendar_policy="move")
    interval = Interval(
        90,
        missed_runs="all",
        missed_within=timedelta(hours=1),
        missed_at_most=5,
        anchor_date=datetime(2026, 1, 1),
    )

    assert cron.as_json() == {
        "schedule": {"cron": "0 6 13 * 5", "day_or": False, "timezone": "Europe/Berlin"},
        "parameters": {},
        "slug": "friday-13th",
        "calendar": "bank",
    }
    assert rrule.as_json() == {
        "schedule": {"rrule": "FREQ=DAILY"},
        "parameters": {"n": 1},
        "calendar": "bank",
        "calendar_policy": "move",
    }
    assert interval.as_json() == {
        "schedule": {"interval": 90.0, "anchor_date": "2026-01-01T00:00:00"},
        "parameters": {},
        "missed_runs": "all",
        "missed_within_seconds": 3600,
        "missed_at_most": 5,
    }


def test_all_kinds_may_be_asked_for_at_once() -> None:
    found = wanted(cron="@daily", rrule=["FREQ=DAILY", "FREQ=WEEKLY"], timezone="Asia/Tokyo", interval=60)

    assert found is not None
    assert [(each.cron or each.rrule, each.timezone) for each in found if each.interval is None] == [
        ("@daily", "Asia/Tokyo"), ("FREQ=DAILY", "Asia/Tokyo"), ("FREQ=WEEKLY", "Asia/Tokyo"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Schedule(), "either cron, interval or rrule"),
        (lambda: Schedule(cron="@daily", rrule="FREQ=DAILY"), "either cron, interval or rrule"),
        (lambda: Cron("* * *"), "has 3 fields, not 5"),
        (lambda: Cron("@daily", timezone="Mars/Base"), "'Mars/Base' is not a time zone"),
        (lambda: Interval(0), "longer than 0 seconds"),
        (lambda: RRule("every monday"), "has no FREQ"),
        (lambda: Cron("@daily", missed_runs="some"), "missed_runs is one of skip, latest, all"),
        (lambda: Cron("@daily", calendar_policy="drop"), "calendar_policy is one of skip, move"),
    ],
)
def test_what_is_wrong_is_said_where_it_is_written(make: Callable[[], Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make()
