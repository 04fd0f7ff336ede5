"""Testing flows without a server: what ran is kept in memory, time is false, failures are made."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from itertools import count
from typing import Any
from uuid import UUID

from flows.sdk.clock import FakeClock, current_clock
from flows.sdk.context import recording
from flows.sdk.flows import Flow
from flows.sdk.memory import MemoryRecorder
from flows.sdk.states import State
from flows.sdk.tasks import Task

Work = Flow[..., Any] | Task[..., Any]


@dataclass
class RecordedRun:
    """A flow run or task run of the test, with all its states, oldest first."""

    id: UUID
    name: str
    states: list[State] = field(default_factory=list)

    @property
    def state(self) -> State:
        """The last state."""
        return self.states[-1]

    @property
    def state_names(self) -> list[str]:
        """Such as ["Pending", "Running", "Completed"]."""
        return [state.name for state in self.states]


class FlowTestHarness:
    """What a test can look at and tamper with. Made by `flow_test_harness()`.

    `clock` is the flows' time: delays pass at once, `clock.slept` lists them. `recorder` keeps all that
    the flows reported.
    """

    def __init__(self) -> None:
        self.recorder = MemoryRecorder()
        self.clock = FakeClock()
        self._originals: dict[int, tuple[Work, Callable[..., Any]]] = {}

    def runs_of(self, work: Work) -> list[RecordedRun]:
        """The runs of a flow or task, in the order in which they began."""
        return list((self._flow_runs if isinstance(work, Flow) else self._task_runs)(work).values())

    def run_of(self, work: Work) -> RecordedRun:
        """The only run of a flow or task. Raises AssertionError if it ran never or several times."""
        runs = self.runs_of(work)
        if len(runs) != 1:
            raise AssertionError(f"{work!r} ran {len(runs)} times, not once.")
        return runs[0]

    def assert_states(self, work: Work, *names: str) -> None:
        """Check the names of all states of the only run of `work`."""
        found = self.run_of(work).state_names
        if found != list(names):
            raise AssertionError(f"{work!r} went through {found}, not through {list(names)}.")

    @property
    def messages(self) -> list[str]:
        """All log lines of all runs."""
        return [line.message for line in self.recorder.logs]

    def assert_logged(self, text: str, level: int = 0) -> None:
        """Check that a line of at least this level (as in `logging`) contains `text`."""
        lines = [line for line in self.recorder.logs if line.level >= level]
        if not any(text in line.message for line in lines):
            shown = "\n".join(f"  {line.message}" for line in lines) or "  (nothing)"
            raise AssertionError(f"{text!r} was not logged. There is:\n{shown}")

    def fail(self, work: Work, error: BaseException | None = None, times: int | None = 1) -> None:
        """Let the next calls of `work` raise `error` (default: a RuntimeError) instead of running it.

        `times` None: all calls from now on. Copies that `with_options` made before are not affected.
        """
        failure = error or RuntimeError("This failure was injected by a test.")
        function, calls = work.fn, count()

        def injected(*args: Any, **kwargs: Any) -> Any:
            if times is None or next(calls) < times:
                raise failure
            return function(*args, **kwargs)

        self.replace(work, injected)

    def replace(self, work: Work, function: Callable[..., Any]) -> None:
        """Let `work` call `function` until the test ends. For an async function it may be either kind."""
        original = work.fn
        self._originals.setdefault(id(work), (work, original))
        work.fn = wraps(original)(_awaitable(function) if work.is_async else function)

    def restore(self) -> None:
        """Give every flow and task its own function back."""
        for work, function in self._originals.values():
            work.fn = function
        self._originals.clear()

    def _flow_runs(self, work: Work) -> dict[UUID, RecordedRun]:
        begun = [run for run in self.recorder.flow_runs if run.flow_name == work.name]
        runs = {run.id: RecordedRun(run.id, run.name) for run in begun}
        for run_id, state in self.recorder.flow_states:
            if run_id in runs:
                runs[run_id].states.append(state)
        return runs

    def _task_runs(self, work: Work) -> dict[UUID, RecordedRun]:
        runs: dict[UUID, RecordedRun] = {}
        for event in self.recorder.task_events:
            if isinstance(work, Task) and event.task_key == work.task_key:
                run = runs.setdefault(event.task_run_id, RecordedRun(event.task_run_id, event.name))
                run.name = event.name
                run.states.append(event.state)
        return runs


def _awaitable(function: Callable[..., Any]) -> Callable[..., Any]:
    async def awaited(*args: Any, **kwargs: Any) -> Any:
        value = function(*args, **kwargs)
        return await value if inspect.isawaitable(value) else value

    return awaited


@contextmanager
def flow_test_harness() -> Iterator[FlowTestHarness]:
    """Run flows inside the block in memory, with a clock of their own, and look at what happened."""
    harness = FlowTestHarness()
    token = current_clock.set(harness.clock)
    try:
        with recording(harness.recorder):
            yield harness
    finally:
        current_clock.reset(token)
        harness.restore()
