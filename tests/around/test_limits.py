"""Slots as rows: what is granted, what holds, what frees."""

import asyncio
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from math import inf
from typing import Any
from uuid import uuid4

import pytest
from django.db import connections
from django.test import Client
from django.utils.timezone import now

from flows.models import Workspace
from runs import slot_bell
from runs.limits import LimitError, Wanted, acquire, release, renew
from runs.models import ConcurrencyLimit, FlowRun, Slot, Waiter
from runs.session import DjangoSession, PsycopgSession, conninfo_of_django
from runs.slot_bell import SlotBell
from tests.factories import default_workspace, lease, make_run
from tests.portal.fixtures import Caller
from tests.processes import PATIENCE

SESSION = DjangoSession()
FOR_EVER = 3600.0


def make_limit(name: str = "database", limit: int = 2, **fields: Any) -> ConcurrencyLimit:
    return ConcurrencyLimit.objects.create(workspace=default_workspace(), name=name, limit=limit, **fields)


def wanted(*names: str, occupy: int = 1, lease_seconds: float | None = 300, **rest: Any) -> Wanted:
    names = names or ("database",)
    return Wanted(default_workspace().id, uuid4(), names, occupy, lease_seconds, **rest)


def is_granted(want: Wanted) -> bool:
    return acquire(SESSION, want).wait_seconds is None


@pytest.mark.django_db
def test_slots_are_granted_until_there_are_none_and_again_after_a_release() -> None:
    make_limit(limit=2)
    first, second, third = wanted(), wanted(), wanted()

    assert [is_granted(each) for each in (first, second, third)] == [True, True, False]
    assert release(SESSION, first.workspace_id, first.lease_id)
    assert not release(SESSION, first.workspace_id, first.lease_id)
    assert is_granted(third)


@pytest.mark.django_db
def test_asking_again_with_the_same_lease_takes_nothing_twice() -> None:
    make_limit(limit=1)
    want = wanted()

    assert is_granted(want) and is_granted(want)
    assert Slot.objects.count() == 1


@pytest.mark.django_db
def test_several_limits_are_taken_together_or_not_at_all() -> None:
    make_limit("a", 1), make_limit("b", 1)
    assert is_granted(wanted("b"))

    answer = acquire(SESSION, wanted("a", "b", "c"))

    assert (answer.blocked_by, answer.missing) == ("b", ("c",))
    assert is_granted(wanted("a"))


@pytest.mark.django_db
def test_an_expired_lease_and_an_ended_run_hold_nothing() -> None:
    make_limit(limit=2)
    run = make_run()
    lost, ended = wanted(), wanted(flow_run_id=run.id)
    assert is_granted(lost) and is_granted(ended)
    Slot.objects.filter(lease=lost.lease_id).update(expires=now() - timedelta(seconds=1))
    FlowRun.objects.filter(id=run.id).update(state_type="CRASHED")

    assert not renew(SESSION, lost.workspace_id, lost.lease_id, 300)
    assert Slot.held().count() == 0
    assert is_granted(wanted(occupy=2))


@pytest.mark.django_db
def test_what_was_taken_for_a_rate_outlives_its_run() -> None:
    """Otherwise short runs would pass as often as they come."""
    make_limit(limit=1, slot_decay_per_second=0.01)
    run = lease(make_run())
    assert is_granted(wanted(lease_seconds=None, flow_run_id=run.id))
    FlowRun.objects.filter(id=run.id).update(state_type="COMPLETED", lease_expires=None)
    assert not is_granted(wanted(lease_seconds=None))
    assert Slot.held().count() == 1


@pytest.mark.django_db
def test_slots_of_an_attempt_that_was_killed_hold_up_neither_the_next_one_nor_others() -> None:
    make_limit(limit=1)
    run = lease(make_run())
    assert is_granted(wanted(flow_run_id=run.id))

    FlowRun.objects.filter(id=run.id).update(state_type="SCHEDULED", lease_expires=None)
    assert Slot.held().count() == 0

    lease(run, attempt=2)
    FlowRun.objects.filter(id=run.id).update(claimed_time=now())
    assert Slot.held().count() == 0
    assert is_granted(wanted(flow_run_id=run.id))
    assert Slot.held().count() == 1


@pytest.mark.django_db
def test_first_come_first_served() -> None:
    """Not even somebody who wants less is served before."""
    make_limit(limit=2)
    holder, big, small = wanted(), wanted(occupy=2), wanted()
    assert is_granted(holder)

    asked = [acquire(SESSION, each) for each in (big, small, big)]
    assert [(each.position, each.wait_seconds is None) for each in asked] == [
        (1, False),
        (2, False),
        (1, False),
    ]
    release(SESSION, holder.workspace_id, holder.lease_id)

    assert [is_granted(small), is_granted(big), is_granted(small)] == [False, True, False]
    assert [waiter.lease for waiter in Waiter.present()] == [small.lease_id]


@pytest.mark.django_db
def test_whoever_gives_up_dies_or_falls_silent_holds_up_nobody() -> None:
    make_limit(limit=1)
    run = make_run()
    gives_up, dies, silent, waits = wanted(), wanted(flow_run_id=run.id), wanted(), wanted()
    holder = wanted()
    assert not any([not is_granted(holder), *map(is_granted, (gives_up, dies, silent, waits))])

    release(SESSION, gives_up.workspace_id, gives_up.lease_id)
    FlowRun.objects.filter(id=run.id).update(state_type="CRASHED")
    Waiter.objects.filter(lease=silent.lease_id).update(expires=now() - timedelta(seconds=1))
    release(SESSION, holder.workspace_id, holder.lease_id)

    assert is_granted(waits)
    assert not Waiter.present().exclude(lease=dies.lease_id).exists()


@pytest.mark.django_db
def test_whoever_was_silent_too_long_stands_at_the_end() -> None:
    make_limit(limit=1)
    holder, sleeper, patient = wanted(), wanted(), wanted()
    assert not any([not is_granted(holder), is_granted(sleeper), is_granted(patient)])

    Waiter.objects.filter(lease=sleeper.lease_id).update(expires=now() - timedelta(seconds=1))

    assert acquire(SESSION, sleeper).position == 2


@pytest.mark.django_db
def test_a_renewed_lease_holds_on() -> None:
    make_limit(limit=1)
    want = wanted(lease_seconds=1)
    assert is_granted(want)

    assert renew(SESSION, want.workspace_id, want.lease_id, 600)

    assert Slot.objects.get().expires > now() + timedelta(seconds=500)


@pytest.mark.django_db
def test_a_limit_that_is_switched_off_lets_everybody_pass() -> None:
    make_limit(limit=0, active=False)

    assert is_granted(wanted(occupy=5))


@pytest.mark.django_db
def test_what_can_never_be_had_is_refused() -> None:
    make_limit(limit=2)

    for want, text in [
        (wanted(occupy=3), "has 2 slots, and 3 are wanted"),
        (wanted(lease_seconds=None), "slot_decay_per_second"),
        (wanted("nowhere", strict=True), "no concurrency limit nowhere"),
    ]:
        with pytest.raises(LimitError, match=text):
            acquire(SESSION, want)


@pytest.mark.django_db
@pytest.mark.parametrize("lease_seconds", [60, None])
def test_a_limit_of_zero_lets_nobody_pass_until_it_is_raised(lease_seconds: float | None) -> None:
    limit = make_limit(limit=0, slot_decay_per_second=1)
    want = wanted(lease_seconds=lease_seconds)

    answer = acquire(SESSION, want)
    assert (answer.wait_seconds, answer.blocked_by, answer.position) == (inf, "database", 1)
    limit.limit = 1
    limit.save()
    assert is_granted(want)


@pytest.mark.django_db
def test_a_rate_frees_itself_slot_by_slot() -> None:
    make_limit(limit=2, slot_decay_per_second=0.1)
    rate = {"lease_seconds": None}
    assert is_granted(wanted(occupy=2, **rate))

    soon = acquire(SESSION, wanted(**rate)).wait_seconds
    Waiter.objects.all().delete()
    later = acquire(SESSION, wanted(occupy=2, **rate)).wait_seconds
    Waiter.objects.all().delete()

    assert soon is not None and 0 < soon <= 10
    assert later is not None and 10 < later <= 20
    Slot.objects.update(expires=now() + timedelta(seconds=9))  # one is free, one will be
    assert Slot.objects.get().occupied_now(0.1) == 1
    assert is_granted(wanted(**rate))
    assert not is_granted(wanted(**rate))


@pytest.mark.django_db(transaction=True)
def test_of_many_that_ask_at_once_only_so_many_get_in() -> None:
    """Whoever waited for the lock must count what was taken while they waited."""
    make_limit(limit=3)
    wants = [wanted() for _ in range(12)]
    conninfo = conninfo_of_django()
    granted: list[bool] = []

    def ask(want: Wanted) -> None:
        session = PsycopgSession(conninfo)
        granted.append(acquire(session, want).wait_seconds is None)
        session.close()

    threads = [threading.Thread(target=ask, args=[want]) for want in wants]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    connections.close_all()

    assert sorted(granted) == [False] * 9 + [True] * 3


@pytest.fixture
def bell(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlotBell]:
    """A bell that listens, and goes on although nobody waits for a while."""
    monkeypatch.setattr(slot_bell, "IDLE_SECONDS", FOR_EVER)
    bell = SlotBell()
    bell.rest(uuid4(), 30)  # it rings when it begins: something may have been missed before
    yield bell
    bell.close()


@pytest.mark.django_db(transaction=True)
def test_whoever_waits_is_woken_when_slots_are_given_back(bell: SlotBell) -> None:
    make_limit(limit=1)
    holder, waiter = wanted(), wanted()
    assert is_granted(holder) and not is_granted(waiter)
    resting = threading.Thread(target=bell.rest, args=[waiter.lease_id, FOR_EVER])
    resting.start()

    release(SESSION, holder.workspace_id, holder.lease_id)
    resting.join(PATIENCE)

    assert not resting.is_alive()
    assert is_granted(waiter)


@pytest.mark.django_db(transaction=True)
def test_async_code_is_woken_by_the_same_bell(bell: SlotBell) -> None:
    make_limit(limit=1)
    holder, waiter, other = wanted(), wanted(), wanted()
    assert is_granted(holder) and not is_granted(waiter) and not is_granted(other)

    async def rests() -> tuple[bool, bool]:
        resting = [asyncio.create_task(bell.rest_async(each.lease_id, FOR_EVER)) for each in (waiter, other)]
        await asyncio.sleep(0)
        await asyncio.to_thread(given_back, holder)
        await asyncio.wait(resting, return_when=asyncio.FIRST_COMPLETED)
        states = resting[0].done(), resting[1].done()
        resting[1].cancel()
        return states

    assert asyncio.run(rests()) == (True, False)


def given_back(want: Wanted) -> None:
    release(SESSION, want.workspace_id, want.lease_id)
    connections.close_all()


@pytest.mark.django_db(transaction=True)
def test_a_ring_between_asking_and_resting_is_heard(bell: SlotBell) -> None:
    make_limit(limit=1)
    holder, waiter, other = wanted(), wanted(), wanted()
    assert is_granted(holder) and not is_granted(waiter)
    release(SESSION, holder.workspace_id, holder.lease_id)
    bell.rest(other.lease_id, 0.5)  # the ring for `waiter` comes in
    before = time.monotonic()

    bell.rest(waiter.lease_id, 2 * PATIENCE)

    assert time.monotonic() - before < PATIENCE


@pytest.mark.django_db(transaction=True)
def test_whoever_waits_is_woken_when_the_limit_is_raised(bell: SlotBell) -> None:
    limit, waiter = make_limit(limit=0), wanted()
    assert not is_granted(waiter)
    resting = threading.Thread(target=bell.rest, args=[waiter.lease_id, FOR_EVER])
    resting.start()

    limit.limit = 1
    limit.save()
    resting.join(PATIENCE)

    assert not resting.is_alive()


def test_the_api_makes_limits_and_shows_who_holds_them(
    editor: Caller, viewer: Caller, foreigner: Caller
) -> None:
    path = "/api/concurrency_limits/"
    made = editor.post(path, {"name": "database", "limit": 2})
    again = editor.post(path, {"name": "database", "limit": 3})
    lease = str(uuid4())
    ask = {"lease_id": lease, "names": ["database"], "occupy": 2, "lease_seconds": 60, "holder": "me"}

    assert (made.status_code, again.status_code) == (201, 200)
    assert editor.post(f"{path}acquire", ask).json()["granted"]
    refused = editor.post(f"{path}acquire", {**ask, "lease_id": str(uuid4())}).json()
    assert refused == {
        "granted": False,
        "missing": [],
        "retry_after": None,
        "blocked_by": "database",
        "position": 1,
    }
    (shown,) = viewer.get(path).json()["results"]
    assert (shown["limit"], shown["active_slots"]) == (3, 2)
    assert [holder["holder"] for holder in shown["holders"]] == ["me"]
    assert foreigner.get(path).json()["results"] == []
    assert not foreigner.post(f"{path}leases/{lease}/release").json()["released"]
    assert viewer.post(f"{path}acquire", ask).status_code == 403
    assert editor.post(f"{path}leases/{lease}/renew", {"lease_seconds": 60}).json()["held"]
    assert editor.post(f"{path}leases/{lease}/release").json()["released"]
    assert editor.post(f"{path}acquire", {**ask, "occupy": 9}).status_code == 422


def test_the_page_shows_how_much_is_taken_and_by_whom(superuser: Client) -> None:
    limit = make_limit(limit=2)
    run = lease(make_run())
    assert is_granted(wanted(flow_run_id=run.id))

    page = superuser.get("/admin/runs/concurrencylimit/").content.decode()
    about = superuser.get(f"/admin/runs/concurrencylimit/{limit.id}/change/").content.decode()

    assert "1 of 2" in page and run.name in page
    assert run.name in about


def test_a_workspace_sees_its_own_limits(elsewhere: Workspace, superuser: Client) -> None:
    make_limit()
    other = Wanted(elsewhere.id, uuid4(), ["database"], 1, 60)

    assert acquire(SESSION, other).missing == ("database",)
