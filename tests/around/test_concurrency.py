"""`concurrency` and `rate_limit` in flow code."""

import asyncio
import itertools
import os
import signal
import threading
import time

import pytest

from flows.concurrency.asyncio import concurrency as async_concurrency
from flows.concurrency.sync import (
    ConcurrencySlotAcquisitionError,
    ConcurrencySlotsLostError,
    concurrency,
    rate_limit,
)
from flows.models import Deployment
from flows.sdk import backend
from flows.sdk.concurrency import AcquireConcurrencySlotTimeoutError
from runs.create import create_flow_run
from runs.models import ConcurrencyLimit, Slot, TaskRunState
from tests.around.conftest import Around
from tests.around.test_limits import make_limit
from tests.processes import PATIENCE, wait_until


def test_a_block_holds_slots_until_it_ends(weather: Deployment) -> None:
    make_limit(limit=3)

    with concurrency("database", occupy=2):
        held = Slot.objects.get()
        assert held.occupied == 2
    assert Slot.objects.count() == 0


def test_slots_are_freed_when_the_block_raises(weather: Deployment) -> None:
    make_limit()

    with pytest.raises(KeyError), concurrency("database"):
        raise KeyError
    assert Slot.objects.count() == 0


def test_waiting_ends_when_the_time_is_up(weather: Deployment) -> None:
    make_limit(limit=1)

    too_long = pytest.raises(AcquireConcurrencySlotTimeoutError, match="'database'")
    with concurrency("database"), too_long, concurrency("database", timeout_seconds=0.1):
        pass


def test_a_limit_of_zero_is_waited_for(weather: Deployment) -> None:
    make_limit(limit=0)

    too_long = pytest.raises(AcquireConcurrencySlotTimeoutError, match="'database'")
    with too_long, concurrency("database", timeout_seconds=0.1):
        pass
    ConcurrencyLimit.objects.update(limit=1)
    with concurrency("database", timeout_seconds=PATIENCE):
        pass


def test_a_freed_slot_is_taken_by_who_waits(weather: Deployment) -> None:
    make_limit(limit=1)
    order: list[str] = []

    def second() -> None:
        with concurrency("database", timeout_seconds=PATIENCE):
            order.append("second")

    with concurrency("database"):
        thread = threading.Thread(target=second)
        thread.start()
        order.append("first")
    thread.join()

    assert order == ["first", "second"]


def test_a_lease_is_renewed_while_the_block_lasts(weather: Deployment) -> None:
    make_limit(limit=1)

    with concurrency("database", lease_duration=5):
        before = Slot.objects.get().expires
        wait_until(lambda: Slot.objects.get().expires > before, what="it is renewed")


def lose_slots() -> None:
    """As if the lease had expired while the server was away."""
    Slot.objects.all().delete()


def test_a_strict_block_ends_when_its_slots_are_lost(weather: Deployment) -> None:
    make_limit()
    lost = pytest.raises(ConcurrencySlotsLostError, match="database")
    with lost, concurrency("database", strict=True, lease_duration=1):
        lose_slots()
        wait_until(lambda: False, what="the block ends")


def test_an_async_block_ends_when_its_slots_are_lost(weather: Deployment) -> None:
    make_limit()

    async def work() -> str:
        try:
            async with async_concurrency("database", lease_duration=1, raise_on_lease_renewal_failure=True):
                await asyncio.to_thread(lose_slots)
                await asyncio.sleep(PATIENCE)
        except ConcurrencySlotsLostError:
            await asyncio.sleep(0)  # the task itself is not cancelled
            return "lost"
        return "never told"

    assert asyncio.run(work()) == "lost"


@pytest.mark.parametrize("options", [{}, {"strict": True, "raise_on_lease_renewal_failure": False}])
def test_other_blocks_go_on_and_say_so(
    weather: Deployment, caplog: pytest.LogCaptureFixture, options: dict[str, bool]
) -> None:
    make_limit()

    with concurrency("database", lease_duration=1, **options):
        lose_slots()
        wait_until(lambda: "The slots of database were lost" in caplog.text)


def test_async_code_waits_without_blocking_the_loop(weather: Deployment) -> None:
    make_limit(limit=1)
    order: list[str] = []

    async def one(name: str) -> None:
        async with async_concurrency("database"):
            order.append(f"{name} in")
            await asyncio.sleep(0.05)
            order.append(f"{name} out")

    async def both() -> None:
        await asyncio.gather(one("a"), one("b"))

    asyncio.run(both())
    assert [step.split()[1] for step in order] == ["in", "out", "in", "out"]


def test_a_rate_limit_slows_down(weather: Deployment) -> None:
    make_limit("calls", 1, slot_decay_per_second=10)
    begun = time.monotonic()

    for _ in range(4):
        rate_limit("calls")

    assert time.monotonic() - begun >= 0.3


def test_what_cannot_be_had_is_an_error(weather: Deployment) -> None:
    make_limit(limit=1)

    refused = ConcurrencySlotAcquisitionError
    with pytest.raises(refused, match="has 1 slots, and 2"), concurrency("database", occupy=2):
        pass
    with pytest.raises(refused, match="slot_decay_per_second"):
        rate_limit("database")
    missing = pytest.raises(refused, match="no concurrency limit nowhere")
    with missing, concurrency(["database", "nowhere"], strict=True):
        pass
    assert Slot.objects.count() == 0
    with concurrency("nowhere"):
        pass


@pytest.mark.parametrize("options", [{"occupy": 0}, {"lease_duration": 0}])
def test_options_are_checked(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))), concurrency("database", **options):
        pass


def test_without_a_portal_nothing_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "_portal_here", None)

    with concurrency("database"):
        rate_limit("calls")
    with pytest.raises(ConcurrencySlotAcquisitionError), concurrency("database", strict=True):
        pass


@pytest.mark.processes
def test_tasks_of_an_agent_share_the_slots(around: Around) -> None:
    make_limit(limit=1)
    make_limit("calls", 5, slot_decay_per_second=1)
    around.agent()

    assert around.ended(around.new("crowd", folder=str(around.folder))).state_type == "COMPLETED"
    assert around.ended(around.new("async_crowd")).state_type == "COMPLETED"

    log = (around.folder / "log").read_text().split()
    assert log == ["in", "out"] * 6
    assert Slot.objects.filter(decays=False).count() == 0


@pytest.mark.processes
def test_task_runs_of_a_limited_tag_take_turns(around: Around) -> None:
    make_limit("tag:db", 1)
    around.agent()

    run = around.ended(around.new("tagged", folder=str(around.folder)))

    assert run.state_type == "COMPLETED"
    assert (around.folder / "log").read_text().split() == ["in", "out"] * 4
    waited = TaskRunState.objects.filter(flow_run=run, name="AwaitingConcurrencySlot")
    assert 1 <= waited.count() <= 3
    assert Slot.objects.count() == 0


@pytest.mark.processes
def test_a_killed_run_frees_its_slots_at_once(around: Around) -> None:
    make_limit(limit=1)
    around.agent()
    hog = around.new("hog", folder=str(around.folder))
    os.kill(around.started(hog), signal.SIGKILL)

    assert around.ended(hog).state_type == "CRASHED"
    assert Slot.held().count() == 0
    assert around.ended(around.new("crowd", folder=str(around.folder))).state_type == "COMPLETED"


@pytest.mark.processes
def test_two_agents_keep_the_limit_of_a_deployment(around: Around) -> None:
    first = around.new("alone", folder=str(around.folder))
    Deployment.objects.update(concurrency_limit=1)
    runs = [first, *(create_flow_run(first.deployment, parameters=first.parameters) for _ in range(5))]
    around.agent()
    around.agent()

    ended = [around.ended(run) for run in runs]

    assert {run.state_type for run in ended} == {"COMPLETED"}
    assert (around.folder / "log").read_text().split() == ["in", "out"] * 6
    ended.sort(key=lambda run: run.claimed_time)
    for before, after in itertools.pairwise(ended):
        assert before.end_time <= after.claimed_time
