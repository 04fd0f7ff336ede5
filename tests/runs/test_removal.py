"""A deployment is deleted while runs wait for it."""

import pytest
from pytest_django import DjangoAssertNumQueries

from flows.models import Deployment, Schedule
from flows.sdk.states import Cancelling
from runs.acting import acting_as
from runs.create import NewRun, insert_runs
from runs.models import FlowRun
from runs.removal import WHY, delete_deployment
from runs.session import DjangoSession
from runs.transition import transition
from tests.factories import lease, make_deployment, make_run

pytestmark = pytest.mark.django_db

SESSION = DjangoSession()


def make_runs(deployment: Deployment, count: int) -> None:
    insert_runs(SESSION, [NewRun.of(deployment, name=f"run-{number}") for number in range(count)])


def told_of(run: FlowRun) -> list[tuple[object, ...]]:
    """What is said of a run and its history, but for ids and times."""
    run.refresh_from_db()
    now = (
        run.state_type,
        run.state_name,
        run.state_message,
        run.version,
        run.end_time == run.state_timestamp,
    )
    states = run.states.order_by("timestamp", "id")
    return [now, *states.values_list("type", "name", "message", "attempt", "state_details__actor__id")]


def test_a_waiting_run_ends_as_if_it_had_been_cancelled_alone() -> None:
    deployment = make_deployment()
    alone, among_many = make_run(deployment, name="a"), make_run(deployment, name="b")

    with acting_as(lambda: {"id": "7", "type": "user", "display_value": "ada"}):
        transition(SESSION, alone.id, Cancelling(message=WHY))
        delete_deployment(deployment)

    assert told_of(among_many) == told_of(alone)
    assert told_of(alone)[0] == ("CANCELLED", "Cancelled", WHY, 2, True)


def test_many_runs_cost_few_queries(django_assert_max_num_queries: DjangoAssertNumQueries) -> None:
    deployment = make_deployment()
    make_runs(deployment, 1500)

    with django_assert_max_num_queries(100):
        delete_deployment(deployment)

    assert FlowRun.objects.filter(state_type="CANCELLED", deployment=None).count() == 1500


def test_planned_runs_go_in_batches(django_assert_max_num_queries: DjangoAssertNumQueries) -> None:
    deployment = make_deployment()
    schedule = Schedule.objects.create(deployment=deployment, cron="@hourly")
    make_runs(deployment, 1500)
    FlowRun.objects.update(schedule=schedule)

    with django_assert_max_num_queries(100):
        delete_deployment(deployment)

    assert not FlowRun.objects.exists()


def test_what_was_begun_keeps_its_rules() -> None:
    deployment = make_deployment()
    running = lease(make_run(deployment))
    retrying = make_run(deployment)
    FlowRun.objects.filter(id=retrying.id).update(state_name="AwaitingRetry", run_count=1, attempt=1)

    delete_deployment(deployment)

    assert told_of(running)[0][:2] == ("PENDING", "Pending")
    assert told_of(retrying)[0][:2] == ("CANCELLED", "Cancelled")
