"""Cancelling in every state, with and without force."""

import pytest

from flows.sdk.recorder import Status
from flows.sdk.states import Completed, Paused, Running, State, Suspended
from runs.cancel import cancel
from runs.models import FlowRun
from runs.session import DjangoSession
from runs.transition import transition
from tests.factories import lease, make_run

pytestmark = pytest.mark.django_db

SESSION = DjangoSession()
WITH_PROCESS: dict[str, list[State]] = {
    "pending": [],
    "running": [Running()],
    "paused": [Running(), Paused()],
}
WITHOUT_PROCESS: dict[str, list[State]] = {"suspended": [Running(), Suspended()]}


def run_in(*states: State) -> FlowRun:
    run = lease(make_run())
    for state in states:
        assert transition(SESSION, run.id, state.anew(), attempt=1).status is Status.ACCEPT
    return run


def state_of(run: FlowRun) -> tuple[str, str]:
    run.refresh_from_db()
    return run.state_type, run.state_message


@pytest.mark.parametrize("states", WITH_PROCESS.values(), ids=WITH_PROCESS)
def test_what_has_a_process_is_asked_to_stop(states: list[State]) -> None:
    run = run_in(*states)
    cancel(SESSION, run.id, "ada")
    assert state_of(run) == ("CANCELLING", "Cancelled by ada.")
    assert run.lease_expires


@pytest.mark.parametrize("states", WITHOUT_PROCESS.values(), ids=WITHOUT_PROCESS)
def test_what_has_none_is_cancelled_at_once(states: list[State]) -> None:
    run = run_in(*states)
    cancel(SESSION, run.id, "ada")
    assert state_of(run) == ("CANCELLED", "Cancelled by ada.")


def test_what_never_began_is_cancelled_at_once() -> None:
    run = make_run()
    cancel(SESSION, run.id, "ada")
    assert state_of(run) == ("CANCELLED", "Cancelled by ada.")


@pytest.mark.parametrize("states", [*WITH_PROCESS.values(), *WITHOUT_PROCESS.values()])
def test_force_ends_it_now(states: list[State]) -> None:
    run = run_in(*states)
    cancel(SESSION, run.id, "ada", force=True)
    assert state_of(run) == ("CANCELLED", "Killed by ada.")
    assert run.lease_expires is None


def test_force_after_asking() -> None:
    run = run_in(Running())
    cancel(SESSION, run.id, "ada")
    cancel(SESSION, run.id, "ada", force=True)
    assert state_of(run) == ("CANCELLED", "Killed by ada.")


@pytest.mark.parametrize("force", [False, True])
def test_what_is_over_stays_as_it_is(force: bool) -> None:
    run = run_in(Running(), Completed())
    assert cancel(SESSION, run.id, "ada", force=force).status is Status.ABORT
    assert state_of(run)[0] == "COMPLETED"


@pytest.mark.parametrize("force", [False, True])
def test_a_subflow_is_cancelled_with_its_root(force: bool) -> None:
    root = run_in(Running())
    child = make_run()
    FlowRun.objects.filter(id=child.id).update(root_run=root, deployment=None, state_type="RUNNING")
    assert cancel(SESSION, child.id, "ada", force=force).status is Status.ABORT
    assert state_of(child)[0] == "RUNNING"
