"""Which leases of errands have ended: none is believed that no clock can have made."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils.timezone import now

from runs import errands
from runs.background import give_back_expired
from runs.models import Errand, FlowRun
from runs.session import DjangoSession
from tests.factories import default_workspace, make_queue, make_run

pytestmark = pytest.mark.django_db

LEASES = [(-1, True), (10, False), (3600, True)]  # seconds from now, whether it has ended


def held(seconds: float, run: FlowRun | None = None) -> Errand:
    """A task of a run, or in the background, that somebody is at."""
    return Errand.objects.create(
        workspace=default_workspace(),
        work_queue=make_queue(),
        flow_run=run,
        attempt=run.attempt if run else 0,
        payload=b"",
        holder=uuid4(),
        worker="mole",
        tries=1,
        lease_expires=now() + timedelta(seconds=seconds),
    )


@pytest.mark.parametrize(("seconds", "ended"), LEASES)
def test_a_flow_sees_which_of_its_tasks_are_lost(seconds: float, ended: bool) -> None:
    run = make_run()
    attempt = errands.Attempt(run.workspace_id, run.id, run.attempt)
    errand = held(seconds, run)
    assert errands.look(DjangoSession(), attempt, [errand.id])[errand.id].is_expired is ended


@pytest.mark.parametrize(("seconds", "ended"), LEASES)
def test_background_tasks_are_given_to_others(seconds: float, ended: bool) -> None:
    held(seconds)
    with DjangoSession().transaction() as tx:
        assert give_back_expired(tx) == ended
