"""Slots that nobody gives back: whoever is next in line is told, in the moment in which they become free."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID, uuid4

import psycopg
import pytest
from django.db import transaction
from django.db.models.signals import pre_delete
from django.utils.timezone import now

from agents.services.database import database_time
from agents.services.reaper import end_expired
from agents.services.slots import clear_slots
from flows.sdk.states import Completed, Crashed
from runs.cancel import cancel
from runs.create import NewRun, insert_runs
from runs.limits import CHANNEL, Wanted, acquire, free_all
from runs.models import ConcurrencyLimit, FlowRun, Slot, Waiter
from runs.session import DjangoSession, conninfo_of_django
from runs.transition import transition
from tests.factories import default_workspace, lease, make_run

pytestmark = pytest.mark.django_db(transaction=True)

SESSION = DjangoSession()
PATIENCE = 15


@pytest.fixture
def limit() -> ConcurrencyLimit:
    return ConcurrencyLimit.objects.create(workspace=default_workspace(), name="database", limit=1)


@pytest.fixture
def told(limit: ConcurrencyLimit) -> Iterator[Callable[[], UUID]]:
    """The next lease that is told that it may be its turn. Fails if none is."""
    with psycopg.connect(**conninfo_of_django(), autocommit=True) as listener:
        listener.execute(f"LISTEN {CHANNEL}")
        heard: list[UUID] = []

        def next_told() -> UUID:
            if not heard:
                heard.extend(UUID(each.payload) for each in listener.notifies(timeout=PATIENCE, stop_after=1))
            assert heard, "nobody was told"
            return heard.pop(0)

        yield next_told


def ask(run: FlowRun | None = None) -> UUID:
    """Ask for the one slot: hold it, or stand in line for it."""
    wanted = Wanted(default_workspace().id, uuid4(), ["database"], 1, 300, run and run.id)
    acquire(SESSION, wanted)
    return wanted.lease_id


def running(run: FlowRun, seconds: float = 60) -> FlowRun:
    lease(run, seconds=seconds)
    FlowRun.objects.filter(id=run.id).update(state_type="RUNNING", state_name="Running")
    return run


def subflow_of(root: FlowRun) -> FlowRun:
    child = NewRun(root.workspace_id, root.flow_id, "child", root_run_id=root.id)
    insert_runs(SESSION, [child])
    FlowRun.objects.filter(id=child.id).update(state_type="RUNNING", state_name="Running")
    return FlowRun.objects.get(id=child.id)


@pytest.mark.parametrize(
    "end",
    [
        lambda run: transition(SESSION, run.id, Completed(), attempt=1),
        lambda run: transition(SESSION, run.id, Crashed(message="Killed."), attempt=1),
        lambda run: cancel(SESSION, run.id, "somebody", force=True),
    ],
    ids=["completed", "crashed", "killed"],
)
def test_a_run_ends_with_slots(told: Callable[[], UUID], end: Callable[[FlowRun], object]) -> None:
    run = running(make_run())
    ask(run)
    next_in_line = ask()

    end(run)

    assert told() == next_in_line


def test_an_agent_dies_with_slots_and_its_run_will_be_tried_again(told: Callable[[], UUID]) -> None:
    run = running(make_run(), seconds=-1)
    FlowRun.objects.filter(id=run.id).update(crash_retries=1)
    ask(run)
    next_in_line = ask()

    with transaction.atomic():
        assert end_expired(database_time()) == 1

    assert told() == next_in_line


def test_a_killed_root_takes_the_slots_and_the_places_of_its_subflows_along(told: Callable[[], UUID]) -> None:
    root = running(make_run())
    ask(subflow_of(root))
    ask(subflow_of(root))  # stands first in line, and will be gone
    next_in_line = ask()

    transition(SESSION, root.id, Crashed(message="Killed."), attempt=1)

    assert told() == next_in_line


def test_a_run_ends_that_stood_in_line_before_others(told: Callable[[], UUID]) -> None:
    run = running(make_run())
    holder = ask()
    ask(run)
    next_in_line = ask()
    Slot.objects.filter(lease=holder).delete()

    transition(SESSION, run.id, Completed(), attempt=1)

    assert told() == next_in_line


def test_a_lease_runs_out(told: Callable[[], UUID]) -> None:
    holder = ask()
    next_in_line = ask()
    Slot.objects.filter(lease=holder).update(expires=now())

    clear_slots(database_time())

    assert told() == next_in_line
    assert not Slot.objects.exists()


def test_somebody_in_line_is_silent_for_too_long(told: Callable[[], UUID]) -> None:
    holder, silent, behind = ask(), ask(), ask()
    Slot.objects.filter(lease=holder).delete()
    Waiter.objects.filter(lease=silent).update(expires=now())

    clear_slots(database_time())

    assert told() == behind


def test_the_service_looks_again_when_the_next_lease_runs_out(limit: ConcurrencyLimit) -> None:
    assert clear_slots(database_time()) is None
    ask()

    assert clear_slots(database_time()) == Slot.objects.get().expires


def test_the_limit_is_reset_or_removed(told: Callable[[], UUID], limit: ConcurrencyLimit) -> None:
    ask()
    first, second = ask(), ask()

    free_all(SESSION, limit.id)
    assert told() == first

    limit.delete()
    assert {told(), told()} == {first, second}


def test_a_limit_that_is_switched_off_lets_everybody_in_line_pass(
    told: Callable[[], UUID], limit: ConcurrencyLimit
) -> None:
    ask()
    waiting = {ask(), ask()}

    limit.active = False
    limit.save()

    assert {told(), told()} == waiting


def test_nobody_hears_of_a_removal_before_the_limit_is_gone(
    told: Callable[[], UUID], limit: ConcurrencyLimit
) -> None:
    ask()
    first, second = ask(), ask()

    with pytest.raises(RuntimeError, match="not now"), removals_fail():
        limit.delete()
    Waiter.objects.filter(lease=first).delete()
    limit.save()

    assert told() == second


@contextmanager
def removals_fail() -> Iterator[None]:
    """Limits cannot be removed: it is found out at the last moment."""

    def fail(**_: object) -> None:
        raise RuntimeError("not now")

    pre_delete.connect(fail, sender=ConcurrencyLimit)
    try:
        yield
    finally:
        pre_delete.disconnect(fail, sender=ConcurrencyLimit)
