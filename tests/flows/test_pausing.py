"""Pausing and resuming, in memory: the flow waits in a thread of its own, and the test resumes it."""

import asyncio
import time
from collections.abc import Callable
from threading import Thread
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel, ValidationError

from flows import flow, pause_flow_run, resume_flow_run, suspend_flow_run, task
from flows.exceptions import FlowPauseTimeout, MissingContextError, NotPausedError
from flows.sdk.context import recording
from flows.sdk.memory import MemoryRecorder
from flows.sdk.recorder import Verdict
from flows.sdk.states import State
from flows.testing import flow_test_harness
from tests.processes import PATIENCE, wait_until


class Approval(BaseModel):
    approved: bool
    comment: str = ""


class Background:
    """A flow that runs in a thread."""

    def __init__(self, recorder: MemoryRecorder, call: Callable[[], Any]) -> None:
        self.recorder = recorder
        self.outcome: list[Any] = []
        self.thread = Thread(target=self._run, args=[call], daemon=True)
        self.thread.start()

    def _run(self, call: Callable[[], Any]) -> None:
        with recording(self.recorder):
            self.outcome.append(call())

    def when_paused(self, times: int = 1) -> UUID:
        """Wait until the flow has paused `times` times; its run's id."""
        wait_until(lambda: sum(s.is_paused() for _, s in self.recorder.flow_states) >= times)
        return self.recorder.flow_runs[0].id

    def result(self) -> Any:
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()
        return self.outcome[0]


def in_background(recorder: MemoryRecorder, call: Callable[[], Any]) -> Background:
    return Background(recorder, call)


def spend(seconds: float) -> None:
    """Be busy, as code is that a timeout interrupts."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


def resume_after(recorder: MemoryRecorder, seconds: float) -> None:
    """Resume the flow that is going to pause, that long after it has paused."""

    def resume() -> None:
        wait_until(lambda: recorder.flow_states and recorder.flow_states[-1][1].is_paused())
        time.sleep(seconds)
        resume_flow_run(recorder.flow_states[-1][0])

    Thread(target=resume, daemon=True).start()


def test_a_timeout_does_not_run_while_the_flow_is_paused(recorder: MemoryRecorder) -> None:
    @flow(timeout_seconds=1.5)
    def release(work: float) -> str:
        pause_flow_run(timeout=30, poll_interval=0.05)
        spend(work)
        return "released"

    resume_after(recorder, 1.6)
    assert release(0.01) == "released"


def test_what_is_left_of_the_timeout_counts_after_the_pause(recorder: MemoryRecorder) -> None:
    @flow(timeout_seconds=0.4)
    def release() -> None:
        pause_flow_run(timeout=30, poll_interval=0.05)
        spend(60)

    resume_after(recorder, 0)
    assert release(return_state=True).name == "TimedOut"


def test_no_timeout_runs_while_a_flow_in_a_thread_is_paused(recorder: MemoryRecorder) -> None:
    @flow(timeout_seconds=1.5)
    def release() -> str:
        pause_flow_run(timeout=30, poll_interval=0.05)
        return "released"

    running = in_background(recorder, release)
    run_id = running.when_paused()
    time.sleep(1.6)
    resume_flow_run(run_id)
    assert running.result() == "released"


def test_no_timeout_runs_while_an_async_flow_is_paused(recorder: MemoryRecorder) -> None:
    @flow(timeout_seconds=1.5)
    async def release(work: float) -> str:
        await pause_flow_run(timeout=30, poll_interval=0.05)
        await asyncio.sleep(work)
        return "released"

    resume_after(recorder, 1.6)
    assert asyncio.run(release(0.01)) == "released"
    resume_after(recorder, 0)
    assert asyncio.run(release(60, return_state=True)).name == "TimedOut"


def test_a_pause_takes_no_real_time_in_the_test_harness() -> None:
    @flow
    def release() -> None:
        pause_flow_run(timeout=3600)

    with flow_test_harness() as harness, pytest.raises(FlowPauseTimeout):
        release()
    assert harness.clock.elapsed >= 3600


def test_a_paused_flow_goes_on_when_it_is_resumed(recorder: MemoryRecorder) -> None:
    @flow
    def release() -> str:
        pause_flow_run(timeout=30)
        return "released"

    running = in_background(recorder, release)
    resume_flow_run(running.when_paused())

    assert running.result() == "released"
    assert recorder.states_of("release") == ["Running", "Paused", "Completed"]


def test_the_answer_is_an_instance_of_the_model(recorder: MemoryRecorder) -> None:
    @flow
    def release() -> Approval:
        return pause_flow_run(wait_for_input=Approval, timeout=30)

    running = in_background(recorder, release)
    resume_flow_run(running.when_paused(), run_input={"approved": True, "comment": "fine"})

    assert running.result() == Approval(approved=True, comment="fine")


def test_a_plain_type_is_asked_for_as_a_value(recorder: MemoryRecorder) -> None:
    @flow
    def release() -> int:
        return pause_flow_run(wait_for_input=int, timeout=30)

    running = in_background(recorder, release)
    resume_flow_run(running.when_paused(), run_input={"value": 3})

    assert running.result() == 3


def test_async_flows_await_the_pause_and_go_on_with_other_work(recorder: MemoryRecorder) -> None:
    @flow
    async def release() -> str:
        background = asyncio.create_task(asyncio.sleep(0, "not blocked"))
        await pause_flow_run(timeout=30)
        return await background

    running = in_background(recorder, lambda: asyncio.run(release()))
    resume_flow_run(running.when_paused())

    assert running.result() == "not blocked"


def test_nobody_resumes(recorder: MemoryRecorder) -> None:
    @flow
    def release() -> None:
        pause_flow_run(timeout=0.01)

    with pytest.raises(FlowPauseTimeout, match="nobody resumed it in time"):
        release()
    assert recorder.states_of("release") == ["Running", "Paused", "Running", "Failed"]


def test_a_flow_may_handle_that_nobody_resumed_it(recorder: MemoryRecorder) -> None:
    @flow
    def release() -> str:
        try:
            pause_flow_run(timeout=0.01)
        except FlowPauseTimeout:
            return "went on without"
        return "approved"

    assert release() == "went on without"


def test_who_resumes_just_in_time_counts(monkeypatch: pytest.MonkeyPatch, recorder: MemoryRecorder) -> None:
    report = recorder.transition

    def resume_first(run_id: UUID, state: State) -> Verdict:
        if state.details.get("pause_over"):
            resume_flow_run(run_id, run_input={"approved": True})
        return report(run_id, state)

    monkeypatch.setattr(recorder, "transition", resume_first)

    @flow
    def release() -> Approval:
        return pause_flow_run(wait_for_input=Approval, timeout=0.01)

    assert release().approved


def test_a_key_that_was_passed_does_not_pause_again(recorder: MemoryRecorder) -> None:
    @flow
    def release() -> tuple[Approval, Approval]:
        first = pause_flow_run(wait_for_input=Approval, key="approve", timeout=30)
        return first, pause_flow_run(wait_for_input=Approval, key="approve", timeout=30)

    running = in_background(recorder, release)
    resume_flow_run(running.when_paused(), run_input={"approved": True})

    first, second = running.result()
    assert first == second == Approval(approved=True)


def test_pauses_without_keys_are_counted(recorder: MemoryRecorder) -> None:
    @flow
    def release() -> str:
        pause_flow_run(timeout=30)
        pause_flow_run(timeout=30)
        return "twice"

    running = in_background(recorder, release)
    resume_flow_run(running.when_paused(1))
    resume_flow_run(running.when_paused(2))

    assert running.result() == "twice"


def test_a_retry_pauses_anew(recorder: MemoryRecorder) -> None:
    @flow(retries=1)
    def release() -> str:
        if not pause_flow_run(wait_for_input=Approval, timeout=30).approved:
            raise RuntimeError("refused")
        return "approved"

    running = in_background(recorder, release)
    resume_flow_run(running.when_paused(1), run_input={"approved": False})
    resume_flow_run(running.when_paused(2), run_input={"approved": True})

    assert running.result() == "approved"


def test_an_answer_that_the_model_refuses_fails_the_flow(recorder: MemoryRecorder) -> None:
    @flow
    def release() -> Any:
        return pause_flow_run(wait_for_input=Approval, timeout=30)

    running = in_background(recorder, lambda: release(return_state=True))
    resume_flow_run(running.when_paused(), run_input={"approved": "perhaps"})

    state: State = running.result()
    assert isinstance(state.result(raise_on_failure=False), ValidationError)


def test_only_a_paused_run_is_resumed() -> None:
    with pytest.raises(NotPausedError, match="not paused"):
        resume_flow_run("0198c0de-0000-7000-8000-000000000000")


def test_a_run_without_a_deployment_is_not_suspended() -> None:
    with pytest.raises(RuntimeError, match="Use pause_flow_run"):
        flow(lambda: suspend_flow_run(), name="work")()


def test_tasks_do_not_pause() -> None:
    @task
    def approve() -> None:
        pause_flow_run()

    with pytest.raises(RuntimeError, match="call this in the flow"):
        flow(lambda: approve(), name="work")()


def test_there_is_nothing_to_pause_outside_flows() -> None:
    with pytest.raises(MissingContextError, match="no flow run here"):
        pause_flow_run()
