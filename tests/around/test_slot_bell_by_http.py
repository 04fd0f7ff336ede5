"""Code elsewhere is woken for slots by the server, which answers when it may be its turn."""

import asyncio
import threading
from collections.abc import Callable
from uuid import UUID, uuid4

import pytest
from django.db import connections

from flows.concurrency.asyncio import concurrency as async_concurrency
from flows.concurrency.sync import concurrency
from flows.models import Deployment
from portal.api.concurrency_limits import routes as api
from runs import slot_bell
from runs.models import Waiter
from runs.slot_bell import bell
from tests.around.test_limits import make_limit
from tests.portal.fixtures import Caller
from tests.processes import PATIENCE, wait_until


class PatientBell:
    """A bell that ends a wait only when it rings."""

    def __init__(self) -> None:
        self.waiting = 0

    def rest(self, lease_id: UUID, seconds: float) -> bool:
        self.waiting += 1
        bell().rest(lease_id, 3600.0)
        self.waiting -= 1
        return True


def blocking() -> None:
    with concurrency("database", timeout_seconds=PATIENCE):
        pass


def in_a_loop() -> None:
    async def work() -> None:
        async with async_concurrency("database", timeout_seconds=PATIENCE):
            pass

    asyncio.run(work())


@pytest.mark.parametrize("code", [blocking, in_a_loop])
def test_whoever_waits_is_woken_by_the_server(
    weather: Deployment, monkeypatch: pytest.MonkeyPatch, code: Callable[[], None]
) -> None:
    make_limit(limit=1)
    patient = PatientBell()
    monkeypatch.setattr(api, "bell", lambda: patient)
    monkeypatch.setattr(slot_bell, "IDLE_SECONDS", 3600.0)
    waiter = threading.Thread(target=code)

    with concurrency("database"):
        waiter.start()
        wait_until(lambda: patient.waiting, what="the server holds its request")
        connections.close_all()
    waiter.join()

    assert patient.waiting == 0


def test_a_server_with_too_many_waiters_is_asked_by_the_clock(
    weather: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_limit(limit=1)
    monkeypatch.setattr(api, "_seats", threading.BoundedSemaphore(1))
    api._seats.acquire()
    waiter = threading.Thread(target=blocking)

    with concurrency("database"):
        waiter.start()
        wait_until(Waiter.objects.exists, what="it stands in line")
        connections.close_all()
    waiter.join()

    assert not Waiter.objects.exists()


def test_who_may_wait_and_for_how_long(operator: Caller, viewer: Caller) -> None:
    path = f"/api/concurrency_limits/leases/{uuid4()}/turn"

    assert operator.post(path, {"seconds": 0.01}).json() == {"waited": True}
    assert operator.post(path, {"seconds": 6}).status_code == 422
    assert operator.post(path, {}).status_code == 422
    assert viewer.post(path, {"seconds": 0.01}).status_code == 403
