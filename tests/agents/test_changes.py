"""What people change makes events that say what changed, and who did it."""

from typing import Any

import pytest

from flows.sdk.states import Cancelled
from portal.client import LocalPortal
from runs.acting import acting_as
from runs.models import Event
from runs.session import DjangoSession
from runs.transition import transition
from tests.factories import default_workspace, make_deployment, make_queue, make_run

pytestmark = pytest.mark.django_db

ANNA = {"type": "USER", "id": "7", "display_value": "anna"}


def told(of: Any) -> list[tuple[str, dict[str, Any]]]:
    events = Event.objects.filter(resource_id__endswith=str(of.pk)).order_by("occurred")
    return [(event.event, event.payload) for event in events]


def test_a_deployment_is_made_changed_paused_resumed_and_deleted() -> None:
    with acting_as(lambda: ANNA):
        deployment = make_deployment()
        deployment.description = "nightly"
        deployment.save()
        for paused in (True, False):
            deployment.paused = paused
            deployment.save()
        deployment.save()
        gone = deployment.pk
        deployment.delete()
        deployment.pk = gone

    assert told(deployment) == [
        ("prefect.deployment.created", {"actor": ANNA}),
        ("prefect.deployment.updated", {"changed": {"description": ["", "nightly"]}, "actor": ANNA}),
        ("prefect.deployment.paused", {"actor": ANNA}),
        ("prefect.deployment.resumed", {"actor": ANNA}),
        ("prefect.deployment.deleted", {"actor": ANNA}),
    ]


def test_a_paused_pool_and_queue_are_told_of() -> None:
    queue = make_queue("fast", pool="big")
    for each in (queue, queue.work_pool):
        each.paused = True
        each.save()

    assert told(queue)[-1][0] == "prefect.work-queue.paused"
    assert told(queue.work_pool)[-1][0] == "prefect.work-pool.paused"


def test_a_state_says_who_wanted_it_and_what_was_before() -> None:
    run = make_run(created_by=ANNA)
    with acting_as(lambda: {**ANNA, "display_value": "berta"}):
        transition(DjangoSession(), run.id, Cancelled())

    first, second = Event.objects.filter(resource_id=f"prefect.flow-run.{run.id}").order_by("occurred")
    assert first.payload["actor"]["display_value"] == "anna"
    assert second.payload["actor"]["display_value"] == "berta"
    assert (first.follows, second.follows) == (None, first.id)


def test_a_run_that_names_no_maker_was_made_by_who_acts() -> None:
    """A subflow is made by the agent whose process runs its root."""
    agent = {"type": "AGENT", "id": "9", "display_value": "mill"}
    with acting_as(lambda: agent):
        unnamed, named = make_run(), make_run(created_by=ANNA)

    actors = [
        Event.objects.get(resource_id=f"prefect.flow-run.{run.id}").payload["actor"]
        for run in (unnamed, named)
    ]
    assert actors == [agent, ANNA]


def test_what_a_command_does_beside_the_database_is_signed() -> None:
    body = {"flow_name": "etl", "name": "prod", "entrypoint": "etl.py:etl"}
    made = LocalPortal(default_workspace().id).post("deployments/", body)

    of_it = Event.objects.filter(resource_id=f"prefect.deployment.{made['id']}")
    event = of_it.get(event="prefect.deployment.created")
    assert event.payload["actor"]["type"] == "USER"
    assert event.payload["actor"]["display_value"].endswith("(command line)")
