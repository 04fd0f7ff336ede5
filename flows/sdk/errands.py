"""Task functions that are called in another process: what goes there, what happens there, what comes back.

The engine stays where the flow runs. It reports the states, retries, times out and calls the hooks; only the
call of the task's function goes to a `Place`. What is packed here is opaque to the place.
"""

import logging
import traceback
from collections.abc import Mapping, Sequence
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

from flows.sdk import logs
from flows.sdk.backend import Backend, NoBackendError, backed_by, server_url
from flows.sdk.code import opened_code, packed_code
from flows.sdk.context import FlowRunContext, TaskRunContext, current_flow, current_tags, current_task
from flows.sdk.generators import body
from flows.sdk.recorder import FlowRunInfo, LogLine, NewArtifact, NewFlowRun, Recorder, TaskRunEvent, Verdict
from flows.sdk.results import MemoryResults
from flows.sdk.states import State
from flows.sdk.steps import drive, drive_async, run_coroutine

if TYPE_CHECKING:
    from flows.sdk.timeouts import Limit


class ProcessLost(RuntimeError):
    """The process that a task run was in ended before it did."""


class RemoteTraceback(Exception):
    """The traceback of an exception in another process; the cause of its copy here."""


class Place(Protocol):
    """Another process, or many of them."""

    def prepare(self) -> None:
        """Return when an errand can begin; its time is counted from then on. Raises ProcessLost."""
        ...

    def carry_out(self, errand: bytes, recorder: Recorder, limit: "Limit | None") -> bytes:
        """Have `carried_out(errand)` called there, and return what it returns.

        Raises ProcessLost when the process ends before, and DeadlinePassed when the limit passes.
        """
        ...


@dataclass(frozen=True, slots=True)
class FlowAround:
    """What a task's function may ask about the flow run that it belongs to."""

    run: FlowRunInfo
    parameters: dict[str, Any]
    run_count: int
    log_prints: bool


@dataclass(frozen=True, slots=True)
class Errand:
    """One call of a task's function. `options` are those of its task that the function can see."""

    fn: Any
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    options: dict[str, Any]
    id: UUID
    name: str
    tags: tuple[str, ...]
    run_count: int
    surrounding_tags: tuple[str, ...]
    flow: FlowAround
    shows_log: bool
    server_url: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a call. `reports` are (method of the recorder, its argument)."""

    value: Any = None
    error: BaseException | None = None
    traceback: str = ""
    reports: list[tuple[str, Any]] = field(default_factory=list)


class Sent:
    """Step of the engine: have the function called at a place; return its value or raise its exception."""

    __slots__ = ("args", "context", "kwargs", "limit", "place")

    def __init__(
        self,
        place: Place,
        context: TaskRunContext,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        limit: "Limit | None",
    ) -> None:
        self.place = place
        self.context = context
        self.args = args
        self.kwargs = kwargs
        self.limit = limit

    def run(self) -> Any:
        assert self.context.flow is not None, "runners belong to flow runs"
        recorder = self.context.flow.recorder
        errand = packed_errand(self.context, self.context.flow, self.args, self.kwargs)
        return opened(self.place.carry_out(errand, recorder, self.limit), recorder)

    async def run_async(self) -> Any:
        import asyncio

        return await asyncio.to_thread(self.run)


def packed_errand(
    context: TaskRunContext, flow: FlowRunContext, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> bytes:
    """The call, ready to be sent. Raises TypeError if something in it cannot be pickled."""
    task = context.task
    around = FlowAround(
        replace(flow.run, parameters={}),  # their converted form goes along
        flow.parameters,
        flow.run_count,
        flow.log_prints,
    )
    options = {"name": task.name, "version": task.version, "tags": task.tags, "log_prints": task.log_prints}
    errand = Errand(
        task.fn,
        args,
        kwargs,
        options,
        context.id,
        context.name,
        context.tags,
        context.run_count,
        current_tags.get(),
        around,
        logging.getLogger("flows").hasHandlers(),
        server_url(),
    )
    try:
        return packed_code(errand, task.fn.__module__)
    except Exception as error:
        raise TypeError(
            f"Task {task.name!r} cannot be sent to another process: {error}. Its arguments, and what its "
            "function refers to, must be such as can be pickled: open files and connections in the task."
        ) from error


def opened(packed: bytes, recorder: Recorder) -> Any:
    """The value of an outcome; raises its exception. Passes its reports on."""
    import cloudpickle

    outcome: Outcome = cloudpickle.loads(packed)
    for method, item in outcome.reports:
        getattr(recorder, method)(item)
    if outcome.error is not None:
        raise outcome.error from RemoteTraceback(outcome.traceback)
    return outcome.value


# At the place.


class Line(Recorder, Protocol):
    """What leads back to the flow's process."""

    def ask(self, method: str, *arguments: Any) -> Any:
        """Call a method of the recorder there (or, with its port's name before it, of the backend)."""
        ...


def carried_out(packed: bytes, line: Line | None = None) -> bytes:
    """Do an errand, and return its packed outcome. Without a line, reports return with the outcome."""
    notes = Notes()
    try:
        errand: Errand = opened_code(packed)
        value = copy_context().run(_call, errand, line or notes)
        return packed_outcome(Outcome(value, reports=notes.taken))
    except BaseException as error:
        text = "".join(traceback.format_exception(error)).rstrip()
        return packed_outcome(Outcome(error=error, traceback=text, reports=notes.taken))


def failed_at(why: str) -> bytes:
    """The packed outcome of an errand that was done, but whose result cannot be sent back. TypeError."""
    return packed_outcome(Outcome(error=TypeError(why)))


def packed_outcome(outcome: Outcome) -> bytes:
    import cloudpickle

    try:
        packed: bytes = cloudpickle.dumps(outcome)
        if outcome.error is not None:
            cloudpickle.loads(packed)  # exceptions with arguments of their own often cannot be made again
    except Exception as error:
        what = "result" if outcome.error is None else f"exception {outcome.error!r}"
        unsent = TypeError(f"The task's {what} cannot be sent back from its process: {error}")
        packed = cloudpickle.dumps(Outcome(None, unsent, outcome.traceback, outcome.reports))
    return packed


def _call(errand: Errand, line: Line) -> Any:
    """Call the function within its run, and see the tasks that it submitted to their end."""
    from flows.sdk.tasks import Task

    if errand.shows_log:
        logs.log_to_stderr()
    if errand.flow.log_prints:
        logs.capture_prints()
    flow = _flow_context(errand, line)
    task = Task(errand.fn, **errand.options)
    current_flow.set(flow)
    current_tags.set(errand.surrounding_tags)
    current_task.set(TaskRunContext(task, errand.id, errand.name, errand.tags, flow, errand.run_count))
    steps = body(task.fn, errand.args, errand.kwargs, None, task.is_generator)
    try:
        with backed_by(_backend(line, errand.server_url)):
            value = run_coroutine(drive_async(steps)) if task.is_async else drive(steps)
            while unfinished := flow.runner.unfinished():
                for future in unfinished:
                    future.wait()
    finally:
        flow.runner.close()
    return value


def _backend(line: Line, url: str) -> Backend:
    names = ["runs", "variables", "blocks"]
    if url and not isinstance(line, Notes):
        names.append("portal")
    ports: dict[str, Any] = {name: _Port(line, name) for name in names}
    return Backend(url=url, **ports)


class _Port:
    """A port of the flow's backend: its methods are called there."""

    def __init__(self, line: Line, name: str) -> None:
        self._line = line
        self._name = name

    def __getattr__(self, method: str) -> Any:
        return partial(self._line.ask, f"{self._name}.{method}")


def _flow_context(errand: Errand, recorder: Recorder) -> FlowRunContext:
    from flows.sdk.flows import Flow
    from flows.sdk.runners import ThreadPoolTaskRunner

    around = errand.flow
    runner: ThreadPoolTaskRunner = ThreadPoolTaskRunner()
    stand_in = Flow(_elsewhere, name=around.run.flow_name, task_runner=runner, log_prints=around.log_prints)
    return FlowRunContext(
        stand_in,
        around.run,
        recorder,
        runner,
        around.parameters,
        around.run_count,
        around.log_prints,
        call_prefix=f"{errand.id.hex[-8:]}-",  # the flow's process counts its own calls
    )


def _elsewhere() -> None:
    """Stands for the flow's function, which is under way in its own process."""


def without_data(event: TaskRunEvent) -> TaskRunEvent:
    """The event, fit to be sent: results and exceptions in states stay in their process."""
    return replace(event, state=replace(event.state, data=None))


class Notes:
    """A recorder that keeps reports for the way back. Flow runs need an answer, so it refuses them."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, Any]] = []
        self.results = MemoryResults()  # of tasks inside the task

    def task_event(self, event: TaskRunEvent) -> None:
        self.taken.append(("task_event", without_data(event)))

    def log(self, line: LogLine) -> None:
        self.taken.append(("log", line))

    def artifact(self, artifact: NewArtifact) -> None:
        self.taken.append(("artifact", artifact))

    def begin(self, new: NewFlowRun) -> FlowRunInfo:
        raise RuntimeError(
            f"Flow {new.flow_name!r} cannot be called here: tasks on a cluster report when they are over. "
            "Call the flow outside of this task, or use threads or processes as task runner."
        )

    def transition(self, run_id: UUID, state: State) -> Verdict:
        raise RuntimeError("Flow runs cannot be changed from a task that runs on a cluster.")

    def ask(self, method: str, *arguments: Any) -> Any:
        raise NoBackendError(
            "A task on a cluster has no way to its server: read variables and blocks in the flow, and pass "
            "them as arguments."
        )

    def flush(self) -> None:
        """Nothing can be durable before the task is over."""

    def close(self) -> None:
        """Nothing is held."""
