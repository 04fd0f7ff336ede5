"""What ended is counted by the hour, once, however often it is counted."""

from datetime import timedelta

import pytest

from agents.services.database import database_time
from runs.models import FlowRun, RunStats
from runs.rollup import roll_up
from runs.session import DjangoSession
from tests.factories import make_deployment, make_run
from tests.runs.ended import ended_run

pytestmark = pytest.mark.django_db


def count() -> None:
    roll_up(DjangoSession(), database_time())


def test_runs_are_counted_by_deployment_hour_and_state() -> None:
    etl = make_deployment("etl")
    ended_run(etl, took=10)
    ended_run(etl, took=30)
    ended_run(etl, state="FAILED")
    make_run(etl)

    count()

    done = RunStats.objects.get(deployment=etl, state_type="COMPLETED")
    assert (done.runs, round(done.run_seconds), round(done.longest_run_seconds)) == (2, 40, 30)
    assert round(done.late_seconds) == 10
    assert RunStats.objects.get(deployment=etl, state_type="FAILED").runs == 1
    assert done.hour.minute == 0


def test_counting_again_changes_nothing_and_adds_what_came() -> None:
    etl = make_deployment("etl")
    ended_run(etl)
    count()
    count()
    assert RunStats.objects.get().runs == 1

    ended_run(etl)
    count()
    assert RunStats.objects.get().runs == 2


def test_after_an_absence_every_hour_is_made_up_for() -> None:
    etl = make_deployment("etl")
    ended_run(etl, days_ago=3)
    count()
    ended_run(etl, days_ago=2)
    ended_run(etl)
    count()

    assert sorted(RunStats.objects.values_list("runs", flat=True)) == [1, 1, 1]


def test_counts_outlive_their_runs() -> None:
    ended_run(make_deployment("etl"), days_ago=3)
    count()
    FlowRun.objects.all().delete()
    count()

    assert RunStats.objects.get().runs == 1


def test_subflows_are_not_counted() -> None:
    etl = make_deployment("etl")
    root, sub = ended_run(etl), ended_run(etl)
    FlowRun.objects.filter(id=sub.id).update(root_run=root)

    count()

    assert RunStats.objects.get().runs == 1
    assert RunStats.objects.get().hour <= database_time() <= RunStats.objects.get().hour + timedelta(hours=2)
