"""`run_flow`, as an agent calls it: verdicts of the recorder, release, cancellation, lost runs."""

import asyncio
import signal
import threading
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from flows import flow, runtime, task
from flows.sdk.engine import RunReleased, TerminationSignal, run_flow
from flows.sdk.flows import Flow
from flows.sdk.ids import uuid7
from flows.sdk.memory import MemoryRecorder
from flows.sdk.recorder import Aborted, FlowRunInfo, Status, Verdict
from flows.sdk.states import Cancelling, Completed, State


class Answering(MemoryRecorder):
    """Answers the first proposals with the given verdicts, and accepts the rest."""

    def __init__(self, *verdicts: Verdict) -> None:
        super().__init__()
        self._verdicts = list(verdicts)

    def transition(self, run_id: UUID, state: State) -> Verdict:
        accepted = super().transition(run_id, state)
        return self._verdicts.pop(0) if self._verdicts else accepted

    @property
    def proposed(self) -> list[str]:
        return [state.name for _, state in self.flow_states]


def run(work: Flow[..., Any], recorder: MemoryRecorder, run_count: int = 0, **parameters: Any) -> State:
    info = FlowRunInfo(uuid7(), "brave-otter", work.name, parameters, run_count=run_count, attempt=1)
    return run_flow(work, parameters, recorder=recorder, run=info)


@flow
def triple(number: int) -> int:
    return 3 * number


def test_parameters_from_json_are_converted() -> None:
    recorder = Answering()
    state = run(triple, recorder, number="4")
    assert state.result() == 12
    assert recorder.proposed == ["Running", "Completed"]


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({}, "- number: is required, but was not given"),
        ({"number": "many"}, "- number: Input should be a valid integer"),
        ({"number": 1, "year": 2}, "- year: there is no such parameter (there are: number)"),
    ],
)
def test_parameters_that_do_not_fit_fail_the_run(parameters: dict[str, Any], complaint: str) -> None:
    state = run(triple, Answering(), **parameters)
    assert state.is_failed()
    assert complaint in state.message


def test_an_exception_becomes_the_state_and_is_not_raised() -> None:
    assert run(flow(lambda: 1 // 0, name="work"), Answering()).is_failed()


def test_sys_exit_becomes_the_state_and_is_not_raised() -> None:
    @flow
    def work() -> None:
        raise SystemExit(1)

    assert run(work, Answering()).is_crashed()


def test_wait_makes_the_engine_propose_again() -> None:
    recorder = Answering(Verdict(Status.WAIT, None, "no slot is free", delay_seconds=0.01))
    assert run(triple, recorder, number=1).is_completed()
    assert recorder.proposed == ["Running", "Running", "Completed"]


def test_reject_ends_the_call_in_the_state_that_holds() -> None:
    recorder = Answering(Verdict(Status.REJECT, Cancelling(), "the run is being cancelled"))
    assert run(triple, recorder, number=1).name == "Cancelling"
    assert recorder.proposed == ["Running"]


def test_a_rejected_final_state_gives_way_to_the_one_that_holds() -> None:
    running = Verdict(Status.ACCEPT, None)
    recorder = Answering(running, Verdict(Status.REJECT, Completed(name="Other"), ""))
    assert run(triple, recorder, number=1).name == "Other"


def test_an_end_that_was_being_stored_when_a_signal_came_stands() -> None:
    class Interrupted(MemoryRecorder):
        def transition(self, run_id: UUID, state: State) -> Verdict:
            first = state.is_completed() and state not in [each for _, each in self.flow_states]
            verdict = super().transition(run_id, state)
            if first:
                raise TerminationSignal
            return verdict

    recorder = Interrupted()
    assert run(triple, recorder, number=1).is_completed()
    assert [state.name for _, state in recorder.flow_states] == ["Running", "Completed", "Completed"]


def test_abort_stops_at_once() -> None:
    recorder = Answering(Verdict(Status.ABORT, None, "attempt 1 is over"))
    with pytest.raises(Aborted, match="attempt 1 is over"):
        run(triple, recorder, number=1)
    assert recorder.proposed == ["Running"]


def test_a_run_that_was_lost_while_it_ran_writes_nothing_more() -> None:
    class Lost(Answering):
        def log(self, line: Any) -> None:
            raise Aborted("attempt 1 is over")

    @flow(log_prints=True)
    def work() -> None:
        try:
            print("still here?")
        except Exception:
            print("swallowed")

    recorder = Lost()
    with pytest.raises(Aborted):
        run(work, recorder)
    assert recorder.proposed == ["Running"]


def test_a_long_retry_delay_gives_the_run_back() -> None:
    recorder = Answering()
    work = flow(lambda: 1 // 0, name="work", retries=1, retry_delay_seconds=3600)
    with pytest.raises(RunReleased):
        run(work, recorder)
    assert recorder.proposed == ["Running", "AwaitingRetry"]
    assert "retry_in_process" not in recorder.flow_states[-1][1].details


def test_a_run_that_was_given_back_goes_on_with_its_retries_counted() -> None:
    recorder = Answering()
    work = flow(lambda: 1 // 0, name="work", retries=1)
    assert run(work, recorder, run_count=1).is_failed()
    assert recorder.proposed == ["Retrying", "Failed"]


def test_termination_cancels_the_run_and_what_it_submitted() -> None:
    recorder = Answering()
    gate = threading.Event()
    hold = task(lambda: gate.wait(60), name="hold")

    @flow
    def work() -> None:
        hold.submit()
        raise TerminationSignal

    try:
        assert run(work, recorder).is_cancelled()
    finally:
        gate.set()
    assert recorder.proposed == ["Running", "Cancelled"]
    assert recorder.task_events[-1].state.name == "Cancelled"


def test_termination_inside_a_task_cancels_task_and_run() -> None:
    recorder = Answering()

    @task
    def struck() -> None:
        raise TerminationSignal

    assert run(flow(lambda: struck(), name="work"), recorder).is_cancelled()
    assert recorder.states_of("struck") == ["Pending", "Running", "Cancelled"]


def test_termination_inside_a_subflow_cancels_both() -> None:
    recorder = Answering()

    @flow
    def struck() -> None:
        raise TerminationSignal

    run(flow(lambda: struck(), name="work"), recorder)
    assert recorder.proposed == ["Running", "Running", "Cancelled", "Cancelled"]
    assert recorder.task_events[-1].state.name == "Cancelled"


def raise_signal(*_: Any) -> None:
    raise TerminationSignal


def strike_a_callback() -> None:
    """Let the signal hit the event loop while it runs a callback."""
    asyncio.get_running_loop().call_soon(raise_signal)


def strike_soon() -> None:
    """Let a real signal hit the main thread while it waits."""
    signal.signal(signal.SIGALRM, raise_signal)
    signal.setitimer(signal.ITIMER_REAL, 0.05)


def test_termination_reaches_a_flow_that_waits_for_a_task() -> None:
    recorder = Answering()
    gate = threading.Event()
    hold = task(lambda: gate.wait(60), name="hold")

    @flow
    def work() -> None:
        strike_soon()
        hold.submit().result()

    try:
        assert run(work, recorder).is_cancelled()
    finally:
        gate.set()
    assert recorder.states_of("hold") == ["Pending", "Running", "Cancelled"]


def test_termination_reaches_a_flow_that_waits_for_its_next_try() -> None:
    recorder = Answering()

    @flow(retries=1, retry_delay_seconds=30)
    def work() -> None:
        strike_soon()
        raise ConnectionError

    assert run(work, recorder).is_cancelled()
    assert recorder.proposed == ["Running", "AwaitingRetry", "Cancelled"]


@pytest.mark.parametrize("strike", [strike_a_callback, strike_soon])
def test_termination_reaches_an_async_flow_that_waits(strike: Callable[[], None]) -> None:
    recorder = Answering()
    cleaned: list[str] = []

    @flow
    async def work() -> None:
        strike()
        try:
            await asyncio.sleep(60)
        finally:
            cleaned.append("up")

    assert run(work, recorder).is_cancelled()
    assert cleaned == ["up"]
    assert recorder.proposed == ["Running", "Cancelled"]


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (lambda: runtime.flow_run.name, "brave-otter"),
        (lambda: runtime.flow_run.flow_name, "work"),
        (lambda: runtime.flow_run.run_count, 1),
        (lambda: runtime.deployment.name, None),
        (lambda: runtime.task_run.id, None),
        (lambda: task(lambda: runtime.task_run.name, name="look")(), "look-0"),
    ],
)
def test_runtime_tells_about_the_surrounding_run(read: Callable[[], Any], value: Any) -> None:
    assert run(flow(read, name="work"), Answering()).result() == value


def test_runtime_knows_the_parameters() -> None:
    @flow
    def work(number: int, factor: int = 2) -> dict[str, Any]:
        return runtime.flow_run.parameters

    assert run(work, Answering(), number="1").result() == {"number": 1, "factor": 2}


def test_runtime_is_empty_outside_runs() -> None:
    assert (runtime.flow_run.id, runtime.flow_run.parameters, runtime.task_run.name) == (None, {}, None)
