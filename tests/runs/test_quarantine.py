"""A deployment whose last runs all crashed is paused until somebody lifts its quarantine."""

import pytest
from pytest_django import Settings

from agents.waiting import waiting_on
from flows.models import Deployment
from flows.sdk.states import Completed, Crashed, Failed, Running, State
from runs.models import Event
from runs.quarantine import is_in_quarantine, lift_quarantine
from runs.session import DjangoSession
from runs.transition import transition
from tests.factories import lease, make_deployment, make_run

pytestmark = pytest.mark.django_db


def end(deployment: Deployment, *outcomes: State) -> Deployment:
    """Let a run of it end in each of these states; the deployment as it is then."""
    for outcome in outcomes:
        run = lease(make_run(deployment))
        transition(DjangoSession(), run.id, Running(), attempt=1)
        transition(DjangoSession(), run.id, outcome.anew(), attempt=1)
    deployment.refresh_from_db()
    return deployment


def test_five_crashes_in_a_row_are_too_many() -> None:
    poisoned = make_deployment()
    assert not is_in_quarantine(end(poisoned, *[Crashed()] * 4))
    assert is_in_quarantine(end(poisoned, Crashed()))
    assert poisoned.paused
    told = Event.objects.get(event="portal.deployment.quarantined")
    assert told.resource["prefect.resource.name"] == "etl/prod"


@pytest.mark.parametrize("other", [Completed(), Failed()])
def test_a_run_that_ended_by_itself_breaks_the_row(other: State) -> None:
    assert not end(make_deployment(), Crashed(), Crashed(), other, *[Crashed()] * 4).paused


def test_other_deployments_go_on() -> None:
    end(make_deployment(), *[Crashed()] * 5)
    assert not end(make_deployment("other"), Crashed()).paused


def test_how_many_can_be_set(settings: Settings) -> None:
    settings.PORTAL_QUARANTINE_AFTER = 2
    assert end(make_deployment(), Crashed(), Crashed()).paused
    settings.PORTAL_QUARANTINE_AFTER = 0
    assert not end(make_deployment("free"), *[Crashed()] * 7).paused


def test_lifting_it_is_a_trial() -> None:
    poisoned = end(make_deployment(), *[Crashed()] * 5)
    assert lift_quarantine(poisoned.id)
    assert not lift_quarantine(poisoned.id)
    assert is_in_quarantine(end(poisoned, Crashed()))


def test_a_pause_by_hand_is_no_quarantine() -> None:
    poisoned = end(make_deployment(), *[Crashed()] * 5)
    poisoned.paused = False
    poisoned.save(update_fields=["paused"])
    Deployment.objects.filter(id=poisoned.id).update(paused=True)
    poisoned.refresh_from_db()
    assert not is_in_quarantine(poisoned)


def test_waiting_runs_say_why_they_wait() -> None:
    poisoned = make_deployment()
    waiting = make_run(poisoned)
    end(poisoned, *[Crashed()] * 5)
    waiting.refresh_from_db()
    assert "deployment_quarantined" in [reason["code"] for reason in waiting_on(waiting)]
