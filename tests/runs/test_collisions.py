"""Who gives way when a deployment has more runs than slots."""

from datetime import timedelta

import pytest

from agents.services.collisions import settle_collisions
from agents.services.database import database_time
from flows.models import Deployment
from flows.sdk.recorder import Status
from flows.sdk.states import Cancelled, Pending
from runs.models import FlowRun
from runs.session import DjangoSession
from runs.transition import transition
from tests.factories import lease, make_deployment, make_run

pytestmark = pytest.mark.django_db


def limited(strategy: str, limit: int = 1) -> Deployment:
    return make_deployment(concurrency_limit=limit, collision_strategy=strategy)


def running(deployment: Deployment, name: str) -> FlowRun:
    """A run that an agent executes."""
    run = lease(make_run(deployment, name=name))
    now = database_time()
    FlowRun.objects.filter(id=run.id).update(state_type="RUNNING", claimed_time=now, start_time=now)
    return run


def states() -> dict[str, str]:
    return dict(FlowRun.objects.values_list("name", "state_type"))


def test_enqueue_lets_all_wait() -> None:
    deployment = limited("ENQUEUE")
    running(deployment, "old")
    make_run(deployment, name="one")
    make_run(deployment, name="two")

    assert states() == {"old": "RUNNING", "one": "SCHEDULED", "two": "SCHEDULED"}


def test_cancel_new_cancels_what_finds_no_slot() -> None:
    deployment = limited("CANCEL_NEW", 2)
    running(deployment, "old")
    make_run(deployment, name="fits")
    new = make_run(deployment, name="new")

    assert states() == {"old": "RUNNING", "fits": "SCHEDULED", "new": "CANCELLED"}
    assert new.state_message == (
        "Gave way to another run: etl/prod runs at most 2 at once; its collision strategy is CANCEL_NEW."
    )


def test_cancel_running_cancels_the_oldest_for_the_newest() -> None:
    deployment = limited("CANCEL_RUNNING", 2)
    running(deployment, "oldest")
    running(deployment, "older")

    make_run(deployment, name="new")

    assert states() == {"oldest": "CANCELLING", "older": "RUNNING", "new": "SCHEDULED"}


def test_cancel_running_waits_for_what_is_ending_already() -> None:
    deployment = limited("CANCEL_RUNNING", 2)
    running(deployment, "oldest")
    running(deployment, "older")
    make_run(deployment, name="new")

    settle_collisions(database_time())

    assert states() == {"oldest": "CANCELLING", "older": "RUNNING", "new": "SCHEDULED"}


def test_cancel_running_keeps_only_as_many_newcomers_as_there_are_slots() -> None:
    deployment = limited("CANCEL_RUNNING")
    running(deployment, "old")
    make_run(deployment, name="new")
    make_run(deployment, name="newest")

    assert states() == {"old": "CANCELLING", "new": "CANCELLED", "newest": "SCHEDULED"}


def test_keep_latest_drops_those_that_wait_behind() -> None:
    deployment = limited("KEEP_LATEST")
    running(deployment, "old")
    make_run(deployment, name="new")
    make_run(deployment, name="newest")

    assert states() == {"old": "RUNNING", "new": "CANCELLED", "newest": "SCHEDULED"}


@pytest.mark.parametrize(
    ("strategy", "left"), [("CANCEL_NEW", []), ("CANCEL_RUNNING", ["two"]), ("KEEP_LATEST", ["two"])]
)
def test_a_limit_of_zero(strategy: str, left: list[str]) -> None:
    deployment = limited(strategy, 0)
    make_run(deployment, name="one")
    make_run(deployment, name="two")

    assert [name for name, state in states().items() if state == "SCHEDULED"] == left


def test_runs_that_become_due_by_the_clock_collide_too() -> None:
    deployment = limited("CANCEL_NEW")
    running(deployment, "old")
    make_run(deployment, name="later", scheduled_time=database_time() + timedelta(hours=1))
    settle_collisions(database_time())
    assert states()["later"] == "SCHEDULED"

    FlowRun.objects.filter(name="later").update(expected_start_time=database_time() - timedelta(seconds=1))
    settle_collisions(database_time())

    assert states()["later"] == "CANCELLED"


def test_a_retry_is_no_newcomer() -> None:
    deployment = limited("CANCEL_NEW")
    make_run(deployment, name="retry")
    FlowRun.objects.update(start_time=database_time())
    running(deployment, "old")

    settle_collisions(database_time())

    assert states()["retry"] == "SCHEDULED"


def test_a_paused_deployment_cancels_nothing() -> None:
    deployment = limited("CANCEL_NEW")
    running(deployment, "old")
    Deployment.objects.update(paused=True)

    make_run(deployment, name="waits")

    assert states()["waits"] == "SCHEDULED"


def test_a_strategy_changes_nothing_while_there_is_room() -> None:
    deployment = limited("CANCEL_NEW")
    old = running(deployment, "old")
    transition(DjangoSession(), old.id, Cancelled(), force=True)

    make_run(deployment, name="new")

    assert states()["new"] == "SCHEDULED"


@pytest.mark.parametrize(
    ("strategy", "ends_as"), [("ENQUEUE", "AwaitingConcurrencySlot"), ("CANCEL_NEW", "Cancelled")]
)
def test_a_prefect_worker_that_proposes_pending_finds_no_slot(strategy: str, ends_as: str) -> None:
    deployment = limited("ENQUEUE")
    waiting = make_run(deployment, name="new")
    running(deployment, "old")
    Deployment.objects.update(collision_strategy=strategy)

    verdict = transition(DjangoSession(), waiting.id, Pending())

    assert verdict.status is Status.REJECT
    assert verdict.state is not None and verdict.state.name == ends_as
    if strategy == "ENQUEUE":
        waiting.refresh_from_db()
        assert waiting.expected_start_time > database_time() + timedelta(seconds=5)


def test_a_prefect_worker_gets_a_slot_that_is_free() -> None:
    waiting = make_run(limited("ENQUEUE"))

    assert transition(DjangoSession(), waiting.id, Pending()).status is Status.ACCEPT
