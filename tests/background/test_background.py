"""Tasks outside of flows: handed in by HTTP, run by agents and by processes that serve them."""

import os
import signal
import threading
from pathlib import Path
from typing import Any
from uuid import UUID

import cloudpickle
import pytest

from flows.exceptions import UnverifiedError
from flows.sdk import portal
from flows.sdk.background import background_key
from flows.sdk.bell import Bell
from runs.models import Errand, TaskRun
from tests.background import tasks
from tests.background.conftest import Background
from tests.processes import PATIENCE, wait_until

pytestmark = pytest.mark.processes


def holders(background: Background) -> list[int]:
    """The pids of the processes that were at `hold`."""
    file = background.folder / "holders"
    return [int(line) for line in file.read_text().split()] if file.exists() else []


def history(id: UUID) -> list[str]:
    states = TaskRun.objects.get(id=id).states.order_by("attempt", "sequence")
    return list(states.values_list("name", flat=True))


def test_an_agent_runs_a_delayed_task(background: Background) -> None:
    background.agent()
    future = tasks.add.delay(1, other=2)
    assert future.result(timeout=PATIENCE)[0] == 3
    assert future.state.is_completed()
    assert history(future.task_run_id) == ["Scheduled", "Pending", "Running", "Completed"]
    task_run = TaskRun.objects.get(id=future.task_run_id)
    assert (task_run.flow_run, task_run.run_count) == (None, 1)
    lines = portal.needed("this test").get(f"background_tasks/{future.task_run_id}/logs")["results"]
    assert [line["message"] for line in lines] == ["adding 1"]


def test_retries_async_tasks_and_failures(background: Background) -> None:
    background.agent()
    tried = tasks.fail_twice.apply_async([str(background.folder)])
    added = tasks.add_async.apply_async(kwargs={"one": 1, "other": 2})
    failed = tasks.fail.delay("an example")
    assert (tried.result(timeout=PATIENCE), added.result(timeout=PATIENCE)) == ("xxx", 3)
    with pytest.raises(ValueError, match="an example"):
        failed.result(timeout=PATIENCE)
    assert isinstance(failed.result(raise_on_failure=False), ValueError)
    assert failed.state.is_failed()
    assert TaskRun.objects.get(id=tried.task_run_id).run_count == 3


def test_a_process_serves_tasks(background: Background) -> None:
    """It finds its own functions: nothing but the arguments has to be packed."""
    worker: Any = background.worker()
    try:
        future = tasks.locked.delay()
        assert not Errand.objects.get(id=future.task_run_id).for_agents
        assert future.result(timeout=PATIENCE) == worker.pid
    finally:
        worker.terminate()
    assert worker.wait(PATIENCE) == 0


def test_a_worker_that_rests_is_woken_by_a_bell(
    background: Background, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once it hears the bell, it does not ask by the clock for a while: here, for ever."""
    monkeypatch.setattr("flows.sdk.bell.LONGEST_REST", 3600.0)
    bell = Bell([background_key(tasks.locked)])
    bell.start()
    try:
        while not bell.hears:
            bell.wait()
        resting = threading.Thread(target=bell.wait)
        resting.start()
        resting.join(1.5)  # a worker without a bell would have asked
        assert resting.is_alive()
        wait_until(lambda: rung(resting), what="the bell wakes it")
    finally:
        bell.end()


def rung(resting: threading.Thread) -> bool:
    """Whether it was woken after one more task; a bell may be missed."""
    tasks.locked.delay()
    resting.join(1)
    return not resting.is_alive()


def test_the_tasks_of_a_killed_worker_are_taken_by_the_next(background: Background) -> None:
    background.stack.start("scheduler")
    first: Any = background.worker()
    future = tasks.hold.delay(str(background.folder))
    wait_until(lambda: holders(background), what="the task begins")
    os.killpg(first.pid, signal.SIGKILL)
    second: Any = background.worker()
    try:
        wait_until(lambda: len(holders(background)) == 2, what="the next worker takes it")
        (background.folder / "go").touch()
        assert future.result(timeout=PATIENCE) == second.pid
    finally:
        second.kill()
        first.wait()
        second.wait()
    told = TaskRun.objects.get(id=future.task_run_id).states.filter(message__contains="stopped responding")
    assert told.count() == 1


def test_a_task_that_kills_its_worker_is_given_up(background: Background) -> None:
    agent = background.agent()
    future = tasks.die.delay(str(background.folder))
    future.wait(timeout=PATIENCE)
    assert future.state.is_crashed()
    assert "exit code 1" in future.state.message
    assert (background.folder / "deaths").read_text() == "xxx"
    assert agent.is_alive
    with pytest.raises(Exception, match="exit code 1"):
        future.result()


def test_what_was_altered_is_not_opened(background: Background) -> None:
    future = tasks.add.delay(1)
    other = tasks.add.delay(2)
    Errand.objects.filter(id=future.task_run_id).update(
        payload=Errand.objects.get(id=other.task_run_id).payload
    )
    agent = background.agent()
    assert other.result(timeout=PATIENCE)[0] == 2
    future.wait(timeout=PATIENCE)
    assert future.state.is_crashed()
    assert agent.output.count("was altered") == 1


class Trap:
    """Opening it is enough."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.file,)


@pytest.mark.parametrize("signature", [b"", bytes(32)])
def test_a_forged_result_is_not_opened(background: Background, signature: bytes) -> None:
    """Whoever writes to the database, or answers in the server's place, has no key."""
    background.agent()
    future = tasks.add.delay(1)
    future.wait(timeout=PATIENCE)
    trap = background.folder / "opened"
    Errand.objects.filter(id=future.task_run_id).update(answer=signature + cloudpickle.dumps(Trap(trap)))
    with pytest.raises(UnverifiedError, match="was not opened"):
        future.result(timeout=PATIENCE)
    assert not trap.exists()


def test_the_result_of_another_task_is_not_opened(background: Background) -> None:
    background.agent()
    future, other = tasks.add.delay(1), tasks.add.delay(2)
    assert (future.result(timeout=PATIENCE)[0], other.result(timeout=PATIENCE)[0]) == (1, 2)
    answer = Errand.objects.get(id=other.task_run_id).answer
    Errand.objects.filter(id=future.task_run_id).update(answer=answer)
    with pytest.raises(UnverifiedError):
        future.result()


def test_a_worker_does_not_open_a_forged_call(background: Background) -> None:
    future = tasks.locked.delay()
    trap = background.folder / "opened"
    forged = bytes(32) + cloudpickle.dumps(Trap(trap))
    Errand.objects.filter(id=future.task_run_id).update(payload=forged)
    worker: Any = background.worker()
    try:
        future.wait(timeout=PATIENCE)
    finally:
        worker.kill()
        worker.wait()
    assert future.state.is_crashed()
    assert "is not signed with a key of this workspace" in future.state.message
    assert not trap.exists()


def test_a_cancelled_task_is_stopped(background: Background) -> None:
    background.agent()
    future = tasks.hold.delay(str(background.folder))
    wait_until(lambda: holders(background), what="the task begins")
    server = portal.needed("this test")
    assert server.post(f"background_tasks/{future.task_run_id}/cancel", {}) == {"cancelled": True}
    assert future.state.is_cancelled()
    assert server.post(f"background_tasks/{future.task_run_id}/cancel", {}) == {"cancelled": False}
    again = tasks.add.delay(1)
    assert again.result(timeout=PATIENCE)[0] == 1
