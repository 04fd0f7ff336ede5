"""Hooks: as arguments and as decorators, of flows and of tasks."""

from typing import Any

import pytest

from flows import flow, get_run_logger, task
from flows.sdk.engine import TerminationSignal, run_flow
from flows.sdk.ids import uuid7
from flows.sdk.memory import MemoryRecorder
from flows.sdk.recorder import FlowRunInfo
from flows.sdk.states import State


class Hooks:
    """Remembers with what it was called."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, Any, State]] = []

    def hook(self, subject: Any, run: Any, state: State) -> None:
        self.calls.append((subject, run, state))

    async def async_hook(self, subject: Any, run: Any, state: State) -> None:
        self.hook(subject, run, state)

    @property
    def seen(self) -> list[str]:
        return [state.name for _, _, state in self.calls]


@pytest.fixture
def hooks() -> Hooks:
    return Hooks()


def test_a_completed_flow_calls_its_hooks(recorder: MemoryRecorder, hooks: Hooks) -> None:
    work = flow(on_running=[hooks.hook], on_completion=[hooks.hook], on_failure=[hooks.hook])(lambda: 7)
    work()
    assert hooks.seen == ["Running", "Completed"]
    subject, run, state = hooks.calls[-1]
    assert (subject, run.id, state.result()) == (work, recorder.flow_runs[0].id, 7)


def test_a_failed_flow_calls_its_hooks_once_after_its_retries(recorder: MemoryRecorder, hooks: Hooks) -> None:
    work = flow(lambda: 1 // 0, name="work", retries=1, on_failure=[hooks.hook], on_running=[hooks.hook])
    assert work(return_state=True).is_failed()
    assert hooks.seen == ["Running", "Retrying", "Failed"]


def test_a_crashed_flow_calls_its_hooks(recorder: MemoryRecorder, hooks: Hooks) -> None:
    @flow(on_crashed=[hooks.hook], on_failure=[hooks.hook])
    def work() -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        work()
    assert hooks.seen == ["Crashed"]


def test_a_cancelled_flow_calls_its_hooks_before_its_last_state(hooks: Hooks) -> None:
    recorder = MemoryRecorder()
    states: list[list[str]] = []

    @flow
    def work() -> None:
        raise TerminationSignal

    @work.on_cancellation
    def note(subject: Any, run: Any, state: State) -> None:
        states.append([each.name for _, each in recorder.flow_states])
        hooks.hook(subject, run, state)

    run = FlowRunInfo(uuid7(), "brave-otter", work.name, {}, attempt=1)
    assert run_flow(work, {}, recorder=recorder, run=run).is_cancelled()
    assert (hooks.seen, states) == (["Cancelling"], [["Running"]])


def test_hooks_of_a_cancelled_flow_may_be_given_as_an_argument(hooks: Hooks) -> None:
    @flow(on_cancellation=[hooks.hook])
    def work() -> None:
        raise TerminationSignal

    run = FlowRunInfo(uuid7(), "brave-otter", work.name, {}, attempt=1)
    run_flow(work, {}, recorder=MemoryRecorder(), run=run)
    assert hooks.seen == ["Cancelling"]


def test_a_task_calls_its_hooks(recorder: MemoryRecorder, hooks: Hooks) -> None:
    options: dict[str, Any] = {name: [hooks.hook] for name in ("on_running", "on_completion", "on_failure")}
    good, bad = task(lambda: 1, name="good", **options), task(lambda: 1 // 0, name="bad", **options)
    flow(lambda: (good(), bad(return_state=True), None)[-1], name="work")()
    assert hooks.seen == ["Running", "Completed", "Running", "Failed"]
    assert [run.name for _, run, _ in hooks.calls] == ["good-0", "good-0", "bad-0", "bad-0"]


def test_hooks_may_be_given_by_decorators(recorder: MemoryRecorder, hooks: Hooks) -> None:
    fetch = task(lambda: 1, name="fetch")
    broken = task(lambda: 1 // 0, name="broken")
    work = flow(lambda: (fetch(), broken(return_state=True), None)[-1], name="work")
    of_flow = (work.on_running, work.on_completion, work.on_failure)
    for add in (*of_flow, fetch.on_running, fetch.on_completion, broken.on_failure):
        assert add(hooks.hook) == hooks.hook
    work()
    assert hooks.seen == ["Running", "Running", "Completed", "Failed", "Completed"]


@pytest.mark.parametrize(
    ("error", "decorator", "name"),
    [(ValueError, "on_failure", "Failed"), (SystemExit, "on_crashed", "Crashed")],
)
def test_hooks_of_bad_ends_may_be_given_by_decorators(
    hooks: Hooks, error: type[BaseException], decorator: str, name: str
) -> None:
    @flow
    def work() -> None:
        raise error

    getattr(work, decorator)(hooks.hook)
    run = FlowRunInfo(uuid7(), "brave-otter", work.name, {}, attempt=1)
    run_flow(work, {}, recorder=MemoryRecorder(), run=run)
    assert hooks.seen == [name]


def test_hooks_may_be_coroutine_functions(recorder: MemoryRecorder, hooks: Hooks) -> None:
    flow(lambda: 1, name="work", on_completion=[hooks.async_hook])()
    assert hooks.seen == ["Completed"]


async def test_an_async_flow_awaits_its_hooks(recorder: MemoryRecorder, hooks: Hooks) -> None:
    @flow(on_completion=[hooks.hook, hooks.async_hook])
    async def work() -> None: ...

    await work()
    assert hooks.seen == ["Completed", "Completed"]


def test_a_hook_that_raises_is_logged_and_changes_nothing(recorder: MemoryRecorder, hooks: Hooks) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("oh no")

    fetch = task(lambda: 1, name="fetch", on_running=[broken], on_completion=[broken])
    work = flow(lambda: fetch(), name="work", on_completion=[broken, hooks.hook])
    assert work() == 1
    assert hooks.seen == ["Completed"]
    complaints = [line.message for line in recorder.logs if "raised an exception" in line.message]
    assert len(complaints) == 3
    assert all("oh no" in complaint for complaint in complaints)


def test_a_hook_logs_to_its_run(recorder: MemoryRecorder) -> None:
    def note(flow: Any, run: Any, state: State) -> None:
        get_run_logger().info("saw %s", state.name)

    flow(lambda: None, name="work", on_completion=[note])()
    line = next(line for line in recorder.logs if line.message == "saw Completed")
    assert line.flow_run_id == recorder.flow_runs[0].id


@pytest.mark.parametrize("hooks", [lambda *_: None, [1], "print"])
def test_what_is_no_list_of_functions_is_refused(hooks: Any) -> None:
    with pytest.raises(TypeError, match=r"as in @flow\(on_failure=\[notify\]\)"):
        flow(on_failure=hooks)(lambda: None)
