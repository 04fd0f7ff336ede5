"""Backfills as they run: so many at once, each cell one run, paused, resumed, cancelled."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoAssertNumQueries

from agents.services.backfills import release_backfills
from agents.services.database import database_time
from flows.sdk.states import Completed, Failed
from runs.backfills.counts import counts_of
from runs.backfills.release import release_in
from runs.backfills.steer import (
    NotPossibleError,
    cancel_backfill,
    create_backfill,
    pause_backfill,
    release,
    resume_backfill,
)
from runs.backfills.wish import BackfillError
from runs.models import Backfill, FlowRun, FlowRunState
from tests.factories import make_deployment
from tests.plans import plan_without_sorting
from tests.runs.backfills.builders import SCHEMA, daily, end, march, planned, runs_of

pytestmark = pytest.mark.django_db(transaction=True)


def make(first: int = 1, last: int = 5, **wanted: Any) -> Backfill:
    return create_backfill(planned(daily(), **{"concurrency": 2, **march(first, last), **wanted}))


def states(backfill: Backfill) -> list[str]:
    return [run.state_type for run in runs_of(backfill)]


def test_as_many_runs_as_its_concurrency_begin_at_once() -> None:
    backfill = make()

    first, second = runs_of(backfill)
    assert (backfill.total, backfill.released, backfill.state) == (5, 2, "ACTIVE")
    assert first.slot is not None and first.slot.day == 1
    assert (first.priority, first.backfill, first.schedule) == (-1, backfill, None)
    assert second.slot is not None and second.slot.day == 2


def test_a_run_that_ends_makes_room_for_the_next_at_once() -> None:
    backfill = make()

    end(runs_of(backfill)[0], Failed())

    assert states(backfill) == ["FAILED", "SCHEDULED", "SCHEDULED"]


def test_a_backfill_is_over_when_its_last_run_is() -> None:
    backfill = make()

    for number in range(5):
        backfill.refresh_from_db()
        assert backfill.state == "ACTIVE"
        end(runs_of(backfill)[number], Completed())

    backfill.refresh_from_db()
    assert (backfill.state, backfill.released) == ("COMPLETED", 5)
    assert backfill.finished is not None
    assert FlowRun.objects.count() == 5
    assert FlowRunState.objects.filter(type="SCHEDULED").count() == 5


def test_its_runs_have_the_parameters_of_all_who_have_a_say() -> None:
    deployment = make_deployment(parameter_openapi_schema=SCHEMA, parameters={"depth": 2, "city": "Rome"})
    deployment.schedules.create(cron="0 6 * * *", parameters={"city": "Bern"})
    plan = planned(deployment, grid={"depth": [7]}, tags=["again"], **march(1, 1))

    [run] = runs_of(create_backfill(plan, {"type": "USER", "display_value": "anna"}))

    assert run.parameters == {"day": "2026-03-01", "city": "Bern", "depth": 7}
    assert (run.tags, run.created_by) == (["again"], {"type": "USER", "display_value": "anna"})


def test_the_loop_makes_up_for_what_was_missed() -> None:
    backfill = make()
    FlowRun.objects.all().delete()

    release_backfills(database_time())
    release_backfills(database_time())

    backfill.refresh_from_db()
    assert backfill.released == 4


def test_releasing_again_makes_nothing_twice() -> None:
    backfill = make()

    for _ in range(3):
        release(backfill.id)
    Backfill.objects.update(released=0, concurrency=4)  # as if the books were lost
    release(backfill.id)

    assert FlowRun.objects.count() == 2
    assert sorted(FlowRun.objects.values_list("idempotency_key", flat=True)) == [
        f"backfill:{backfill.id}:{number}" for number in range(2)
    ]


def test_a_paused_backfill_releases_nothing() -> None:
    backfill = make()

    pause_backfill(backfill.id)
    end(runs_of(backfill)[0], Completed())
    release_backfills(database_time())
    assert states(backfill) == ["COMPLETED", "SCHEDULED"]

    resume_backfill(backfill.id)
    assert states(backfill) == ["COMPLETED", "SCHEDULED", "SCHEDULED"]


def test_a_cancelled_backfill_ends_what_has_not_started() -> None:
    backfill = make(concurrency=3)
    running, waiting, _ = runs_of(backfill)
    FlowRun.objects.filter(id=running.id).update(state_type="RUNNING", state_name="Running")

    cancelled = cancel_backfill(backfill.id, "Cancelled by anna.")

    assert (cancelled.state, cancelled.released) == ("CANCELLED", 3)
    assert states(backfill) == ["RUNNING", "CANCELLED", "CANCELLED"]
    waiting.refresh_from_db()
    assert waiting.state_message == "Cancelled by anna."
    with pytest.raises(NotPossibleError, match="it is cancelled"):
        resume_backfill(backfill.id)


def test_nothing_to_do_is_refused() -> None:
    deployment = daily()
    for run in runs_of(create_backfill(planned(deployment, **march(1, 2)))):
        end(run, Completed())

    with pytest.raises(BackfillError, match="2 of 2 are left out: they completed already"):
        create_backfill(planned(deployment, which="missing", **march(1, 2)))


def test_deleting_a_deployment_deletes_its_backfills() -> None:
    backfill = make()

    backfill.deployment.delete()

    assert not Backfill.objects.exists()


def test_a_release_is_a_fixed_number_of_statements(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    backfill = create_backfill(planned(daily(cron="@hourly"), concurrency=50, **march(1, 9)))
    FlowRun.objects.all().delete()

    # Transaction twice; lock, count, cells; insert, cells, advance.
    with django_assert_num_queries(2 + 6):
        release(backfill.id)


def test_counting_reads_an_index_of_the_backfill_alone() -> None:
    backfill = make()
    with CaptureQueriesContext(connection) as captured:
        assert counts_of([backfill.id])[backfill.id] == {"SCHEDULED": 2}

    assert "flowrun_of_backfill" in plan_without_sorting(captured.captured_queries[0]["sql"])


def test_two_who_release_at_once_do_not_wait_for_each_other() -> None:
    """The loser leaves it to the loop: waiting could become waiting in a circle."""
    from runs.session import DjangoSession, PsycopgSession, conninfo_of_django

    backfill = make()
    other = PsycopgSession(conninfo_of_django())
    with DjangoSession().transaction() as mine, other.transaction() as theirs:
        FlowRun.objects.update(state_type="COMPLETED")
        assert release_in(mine, backfill.id) == 2
        assert release_in(theirs, backfill.id) == 0
    other.close()
