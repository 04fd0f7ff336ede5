"""Random histories of schedules: edits, switches, calendars, two schedulers, absences of a minute to a month.

A model in plain Python walks every slot and says which ones run. Time is passed in; nothing waits.
"""

from collections import Counter
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from agents.models import ServiceStatus
from agents.services.materialise import Materialiser
from flows.catalog.occurrences import between, plan_of
from flows.models import Calendar, Deployment, Schedule
from flows.models.schedule import MissedRuns
from runs.models import FlowRun
from tests.factories import default_workspace, make_deployment

pytestmark = pytest.mark.django_db

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
START = datetime(2031, 3, 28, 9, 0, 30, tzinfo=UTC)  # two days later, Berlin's clock is put forward
ABSENCES = (MINUTE, 7 * MINUTE, HOUR, DAY, 31 * DAY)
RULES: tuple[dict[str, object], ...] = (
    {"cron": "*/10 * * * *"},
    {"cron": "0 * * * *", "timezone": "Europe/Berlin"},
    {"cron": "30 2 * * *", "timezone": "Europe/Berlin"},
    {"cron": "", "interval": timedelta(minutes=25)},
    {"cron": "", "interval": timedelta(hours=5)},
    {"cron": "", "rrule": "FREQ=HOURLY;BYMINUTE=7,37"},
)


class History:
    """One schedule, its deployment, two schedulers that take turns, and an agent that starts what is due."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.now = START
        self.schedulers = [Materialiser(), Materialiser()]
        self.status = ServiceStatus.objects.create(
            name="materialise", hostname="mill", pid=1, last_success=START
        )
        rule = self.random.choice(RULES)
        self.schedule = Schedule.objects.create(
            deployment=make_deployment("etl"), missed_runs=self.random.choice(MissedRuns.values),
            missed_at_most=self.random.choice([1, 3, 100]),
            missed_within_seconds=self.random.choice([None, None, 1800]),
            calendar=self._calendar(), calendar_policy=self.random.choice(["skip", "move"]), **rule,
        )  # fmt: skip
        Schedule.objects.update(created=START, updated=START)
        Deployment.objects.update(updated=START)
        Calendar.objects.update(updated=START)
        self.reload()
        self.on = True
        self.started: Counter[datetime] = Counter()
        self.expected: Counter[datetime] = Counter()

    def _calendar(self) -> Calendar | None:
        if self.random.random() < 0.5:
            return None
        night = {"from": "22:00", "to": "05:30"}
        return Calendar.objects.create(
            workspace=default_workspace(), name="open", timezone="Europe/Berlin",
            weekdays=self.random.choice([[1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 6, 7]]), blackouts=[night],
        )  # fmt: skip

    def reload(self) -> None:
        self.schedule = Schedule.objects.select_related("calendar", "deployment").get()

    # What happens

    def live(self, span: timedelta) -> None:
        """A scheduler steps every now and then; an agent starts what is due."""
        end = self.now + span
        while self.now < end:
            before = self.now
            self.now = min(end, self.now + self.random.choice([5, 55, 240, 600]) * timedelta(seconds=1))
            self.start_what_is_due()
            self.expect(before, self.now)
            self.step()

    def step(self) -> None:
        self.random.choice(self.schedulers).step(self.now)
        FlowRun.objects.filter(created__lt=START).update(created=self.now)
        self.status.last_success = self.now
        self.status.save()

    def expect(self, since: datetime, until: datetime) -> None:
        if self.on:
            self.expected.update(self.slots_between(since, until))

    def slots_between(self, since: datetime, until: datetime) -> list[datetime]:
        """Those that run then, by the schedule as it is; what came before its last change does not count."""
        since = max(since, self.schedule.updated)
        return [each.slot for each in between(plan_of(self.schedule), since, until)]

    def start_what_is_due(self) -> None:
        due = FlowRun.objects.filter(state_type="SCHEDULED", expected_start_time__lte=self.now)
        for run in due:
            assert run.slot is not None
            self.started[run.slot] += 1
        due.update(state_type="COMPLETED", version=3, attempt=1, run_count=1)

    def be_away(self, span: timedelta) -> None:
        """Neither scheduler nor agent; then both come back, the scheduler first."""
        since, self.now = self.now, self.now + span
        self.schedulers = [Materialiser(), Materialiser()]
        self.expected.update(self.missed(since))
        self.step()
        self.start_what_is_due()

    def missed(self, since: datetime) -> list[datetime]:
        """The slots that the policy makes up for."""
        if not self.on or self.schedule.missed_runs == MissedRuns.SKIP:
            return []
        if self.schedule.missed_within_seconds is not None:
            since = max(since, self.now - timedelta(seconds=self.schedule.missed_within_seconds))
        count = 1 if self.schedule.missed_runs == MissedRuns.LATEST else self.schedule.missed_at_most
        return self.slots_between(since, self.now)[-count:]

    def edit(self) -> None:
        rule = {"cron": "", "interval": None, "rrule": "", "timezone": "UTC", **self.random.choice(RULES)}
        Schedule.objects.update(**rule, updated=self.now)
        self.reload()
        self.step()

    def switch(self) -> None:
        """Switch off the schedule or pause its deployment, or undo that."""
        self.on = not self.on
        of_schedule = self.random.random() < 0.5
        Schedule.objects.update(active=self.on or not of_schedule, updated=self.now)
        Deployment.objects.update(paused=not self.on and not of_schedule, updated=self.now)
        self.reload()
        self.step()


@pytest.mark.parametrize("seed", range(2))
def test_each_slot_runs_as_the_schedule_said_at_its_time(seed: int) -> None:
    history = History(seed)
    history.step()
    for _ in range(9):
        match history.random.choice(["live", "live", "away", "edit", "switch"]):
            case "live":
                history.live(history.random.choice([3 * MINUTE, HOUR, 5 * HOUR]))
            case "away":
                history.be_away(history.random.choice(ABSENCES))
            case "edit":
                history.edit()
            case _:
                history.switch()
    history.live(20 * MINUTE)

    assert history.started == history.expected
