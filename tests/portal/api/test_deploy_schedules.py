"""`manage.py deploy` with the kinds of schedules."""

from pathlib import Path

import pytest
from django.core.management import CommandError

from flows.models import Calendar, Schedule
from tests.factories import default_workspace
from tests.portal.api.test_commands import manage, project

__all__ = ["project"]
pytestmark = pytest.mark.django_db

DAILY = ("deploy", "weather.py:weather_report", "--name", "daily")


def test_an_rrule_a_calendar_and_what_is_missed(project: Path) -> None:
    Calendar.objects.create(
        workspace=default_workspace(), name="bank", timezone="Europe/Berlin", weekdays=[1, 2]
    )

    said = manage(
        *DAILY, "--rrule", "FREQ=WEEKLY;BYDAY=MO", "--timezone", "Europe/Berlin",
        "--calendar", "bank", "--missed", "all",
    )  # fmt: skip

    schedule = Schedule.objects.get()
    assert (schedule.rrule, schedule.timezone) == ("FREQ=WEEKLY;BYDAY=MO", "Europe/Berlin")
    assert (str(schedule.calendar), schedule.missed_runs) == ("bank", "all")
    assert "Schedule: rrule FREQ=WEEKLY;BYDAY=MO, Europe/Berlin." in said


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--rrule", "FREQ=SECONDLY"], "would flood the queue"),
        (["--rrule", "FREQ=DAILY", "--cron", "@daily"], "not allowed with argument"),
        (["--cron", "61 * * * *"], "cannot be read"),
        (["--interval", "0"], "greater than or equal to 1"),
        (["--cron", "@daily", "--timezone", "Mars/Base"], "is not a time zone"),
        (["--timezone", "UTC"], "--cron or --rrule, which are missing"),
        (["--cron", "@daily", "--calendar", "nowhere"], "There is no calendar 'nowhere'"),
        (["--calendar", "bank"], "go with --cron, --interval or --rrule"),
        (["--missed", "some"], "invalid choice"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(project: Path, arguments: list[str], text: str) -> None:
    with pytest.raises(CommandError, match=text):
        manage(*DAILY, *arguments)
    assert not Schedule.objects.exists()
