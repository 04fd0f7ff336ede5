"""Random histories: what was counted by the hour is what a fresh count of all that happened says."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from flows.models import Deployment
from runs.models import FlowRun, RunStats
from runs.rollup import roll_up
from runs.session import DjangoSession
from tests.factories import make_deployment
from tests.runs.ended import ended_run

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
ENDS = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


class History:
    """Two days of a deployment. Runs end, some are run again; what ended a day ago is removed."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.hour = datetime(2026, 3, 1, tzinfo=UTC)
        self.deployments = [make_deployment(name) for name in ("etl", "export")]
        self.truth: Counter[tuple[Deployment, datetime, str]] = Counter()

    def let_an_hour_pass(self) -> None:
        runs = [self._end() for _ in range(self.random.choice([0, 0, 1, 2, 4]))]
        self._count(minutes=30)
        for run in runs:
            if self.random.random() < 0.3:
                self._end_otherwise(run)
        for run in runs:
            run.refresh_from_db()
            self.truth[run.deployment, self.hour, run.state_type] += 1
        self._count(minutes=59)
        self.hour += HOUR
        FlowRun.objects.filter(end_time__lt=self.hour - timedelta(days=1)).delete()

    def _end(self) -> FlowRun:
        run = ended_run(self.random.choice(self.deployments), state=self.random.choice(ENDS))
        FlowRun.objects.filter(id=run.id).update(end_time=self._moment())
        return run

    def _end_otherwise(self, run: FlowRun) -> None:
        FlowRun.objects.filter(id=run.id).update(state_type=self.random.choice(ENDS), end_time=self._moment())

    def _moment(self) -> datetime:
        return self.hour + timedelta(minutes=self.random.randint(0, 59))

    def _count(self, minutes: int) -> None:
        if self.random.random() < 0.5:  # no scheduler is there
            roll_up(DjangoSession(), self.hour + timedelta(minutes=minutes))


@pytest.mark.parametrize("seed", range(3))
def test_what_was_counted_is_what_happened(seed: int) -> None:
    history = History(seed)
    for _ in range(48):
        history.let_an_hour_pass()
    roll_up(DjangoSession(), history.hour)

    counted = {(each.deployment, each.hour, each.state_type): each.runs for each in RunStats.objects.all()}
    assert counted == history.truth
