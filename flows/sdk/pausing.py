"""Waiting for people: a flow run pauses with its process, or is suspended without one, until resumed."""

from collections.abc import Mapping
from contextlib import nullcontext
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from flows.sdk import logs
from flows.sdk.backend import Backend, SentInput, current_backend
from flows.sdk.calling import Ask, either
from flows.sdk.clock import now
from flows.sdk.context import FlowRunContext, MissingContextError, current_flow, current_task
from flows.sdk.recorder import Aborted, Status, Verdict
from flows.sdk.signals import RunReleased
from flows.sdk.states import Paused, Running, State, StateType, Suspended
from flows.sdk.steps import Sleep, Steps, Wait, drive_async

if TYPE_CHECKING:
    from flows.sdk.questions import Question

# Counted like the calls of a task; no task has this key, for those begin with a module.
PAUSES = "-pause-"
FIRST_LOOK_SECONDS = 0.05


class FlowPauseTimeout(RuntimeError):
    """Nobody resumed the run in time."""


class NotPausedError(RuntimeError):
    """A run was to be resumed that is not paused."""


def pause_flow_run(
    wait_for_input: Any = None, timeout: float = 3600, poll_interval: float = 1, key: str | None = None
) -> Any:
    """Pause the surrounding flow run, keeping its process, until somebody resumes it.

    wait_for_input: a pydantic model (or `RunInput`, or a type such as `str`): people fill in a form made from
        it, and their answer is returned as an instance of it. Without it None is returned.
    timeout: seconds until the wait ends with FlowPauseTimeout.
    poll_interval: seconds between two looks, at most.
    key: a pause whose key the run has passed is passed at once, with the same answer; default: the pauses
        of a run are counted. A flow's retry pauses anew.

    In async flows the call is awaited. Raises RuntimeError within tasks.
    """
    return either(_pause(wait_for_input, timeout, poll_interval, key))


async def apause_flow_run(
    wait_for_input: Any = None, timeout: float = 3600, poll_interval: float = 1, key: str | None = None
) -> Any:
    """As `pause_flow_run`."""
    return await drive_async(_pause(wait_for_input, timeout, poll_interval, key))


def suspend_flow_run(
    wait_for_input: Any = None,
    flow_run_id: UUID | str | None = None,
    timeout: float | None = 3600,
    key: str | None = None,
) -> Any:
    """As `pause_flow_run`, but give the process back: this call does not return until the run is resumed.

    A resumed run begins again from its first line, in a new process, and passes this call; what its tasks
    have persisted is not computed again. Tasks that were submitted are waited for. Only root runs of a
    deployment can be suspended: others raise RuntimeError, since no agent could take them up again.

    flow_run_id: suspend another run instead of the surrounding one; its process is ended.
    timeout: seconds after which a run that nobody resumed fails; None: never.
    """
    return either(_suspend_one(wait_for_input, flow_run_id, timeout, key))


async def asuspend_flow_run(
    wait_for_input: Any = None,
    flow_run_id: UUID | str | None = None,
    timeout: float | None = 3600,
    key: str | None = None,
) -> Any:
    """As `suspend_flow_run`."""
    return await drive_async(_suspend_one(wait_for_input, flow_run_id, timeout, key))


def resume_flow_run(flow_run_id: UUID | str, run_input: Mapping[str, Any] | None = None) -> Any:
    """Let a paused or suspended run go on; `run_input` answers what it waits for.

    Raises NotPausedError; FlowPauseTimeout when it is too late; ValueError when the input does not fit.
    """
    return either(_resume(UUID(str(flow_run_id)), run_input))


async def aresume_flow_run(flow_run_id: UUID | str, run_input: Mapping[str, Any] | None = None) -> None:
    """As `resume_flow_run`."""
    await drive_async(_resume(UUID(str(flow_run_id)), run_input))


def _pause(kind: Any, timeout: float, poll_interval: float, key: str | None) -> Steps[Any]:
    context = _surrounding("paused")
    question = _question(kind)
    state = Paused(details=_details(context, "paused", timeout, key, question))
    backend = current_backend()
    logs.flow_logger(context).info("Pausing until somebody resumes this run, at most %g s.", timeout)
    verdict = yield from _propose(context, backend, state, question)
    if not _was_passed(verdict):
        with context.limit.held() if context.limit else nullcontext():
            yield from _await_resume(context, backend, state, poll_interval)
    return (yield from _answer(context, backend, state, question))


def _suspend(kind: Any, timeout: float | None, key: str | None) -> Steps[Any]:
    context = _surrounding("suspended")
    if context.run.deployment_id is None or context.run.root_run_id is not None:
        raise RuntimeError(
            f"Flow run {context.run.name!r} cannot be suspended, because no agent could take it up again: it "
            "is not the root run of a deployment. Use pause_flow_run(), which keeps the process."
        )
    question = _question(kind)
    state = Suspended(details=_details(context, "suspended", timeout, key, question))
    yield Wait(context.runner.unfinished())
    logs.flow_logger(context).info("Suspending until somebody resumes this run; its process ends now.")
    verdict = yield from _propose(context, current_backend(), state, question)
    if not _was_passed(verdict):
        raise RunReleased("The run is suspended.")
    return (yield from _answer(context, current_backend(), state, question))


def _suspend_one(
    wait_for_input: Any, flow_run_id: UUID | str | None, timeout: float | None, key: str | None
) -> Steps[Any]:
    context = current_flow.get()
    if flow_run_id is None or (context is not None and str(context.run.id) == str(flow_run_id)):
        return (yield from _suspend(wait_for_input, timeout, key))
    if wait_for_input is not None:
        raise ValueError(
            "Only the surrounding run can wait for input: leave flow_run_id or wait_for_input out."
        )
    return (yield from _suspend_other(UUID(str(flow_run_id)), timeout, key))


def _suspend_other(run_id: UUID, timeout: float | None, key: str | None) -> Steps[None]:
    state = Suspended(details=_limits(timeout, key or str(uuid4())))
    verdict: Verdict = yield Ask(current_backend().runs.suspend, run_id, state)
    if verdict.status is not Status.ACCEPT:
        raise RuntimeError(f"Cannot suspend flow run {run_id}: {verdict.reason}.")


def _resume(run_id: UUID, run_input: Mapping[str, Any] | None) -> Steps[None]:
    verdict: Verdict = yield Ask(current_backend().runs.resume, run_id, run_input)
    if verdict.status is Status.ACCEPT:
        return
    text = f"Cannot resume flow run {run_id}: {verdict.reason}."
    if verdict.status is Status.ABORT or verdict.state is None:
        raise NotPausedError(text)
    raise FlowPauseTimeout(text) if verdict.state.is_failed() else ValueError(text)


def _surrounding(participle: str) -> FlowRunContext:
    context = current_flow.get()
    if context is None:
        raise MissingContextError(f"There is no flow run here that could be {participle}.")
    if current_task.get() is not None:
        raise RuntimeError(f"Task runs cannot be {participle}: call this in the flow.")
    return context


def _question(kind: Any) -> "Question | None":
    if kind is None:
        return None
    from flows.sdk.questions import Question  # brings pydantic

    return Question(kind)


def _details(
    context: FlowRunContext, participle: str, timeout: float | None, key: str | None, question: Any
) -> dict[str, Any]:
    details = _limits(timeout, key or str(context.next_call(PAUSES) + 1))
    if question is not None:
        base = f"{participle}-{details['pause_key']}"
        details["run_input_keyset"] = {
            part: f"{base}-{part}" for part in ("description", "response", "schema")
        }
    return details


def _limits(timeout: float | None, key: str) -> dict[str, Any]:
    until = None if timeout is None else (now() + timedelta(seconds=timeout)).isoformat()
    return {"pause_key": key, "pause_timeout": until}


def _propose(
    context: FlowRunContext, backend: Backend, state: State, question: "Question | None"
) -> Steps[Verdict]:
    """Propose to pause. The question goes first: who sees the run paused must find it."""
    if question is not None:
        keys = state.details["run_input_keyset"]
        yield Ask(backend.runs.put_input, context.run.id, SentInput(keys["schema"], question.schema))
        told = SentInput(keys["description"], question.description)
        yield Ask(backend.runs.put_input, context.run.id, told)
    verdict: Verdict = yield Ask(context.recorder.transition, context.run.id, state)
    if verdict.status is Status.ABORT:
        raise Aborted(verdict.reason)
    return verdict


def _was_passed(verdict: Verdict) -> bool:
    """The run went through this pause before. (A run that is being cancelled waits for its signal.)"""
    return verdict.status is Status.REJECT and verdict.state is not None and verdict.state.is_running()


def _await_resume(
    context: FlowRunContext, backend: Backend, paused: State, poll_interval: float
) -> Steps[None]:
    """Look at the run until it is running again. Raises FlowPauseTimeout, or Aborted if it has ended."""
    until = datetime.fromisoformat(paused.details["pause_timeout"])
    look = FIRST_LOOK_SECONDS
    while True:
        state: State | None = yield Ask(backend.runs.state, context.run.id)
        if state is None or state.is_terminal():
            raise Aborted(f"the run ended while it was paused: {state}")
        if state.is_running():
            return
        left = (until - now()).total_seconds()
        if left <= 0 and state.type is StateType.PAUSED:
            return (yield from _give_up(context))
        look = min(look * 1.5, poll_interval)
        yield Sleep(max(0.0, min(look, left)) if left > 0 else look)


def _give_up(context: FlowRunContext) -> Steps[None]:
    """The flow goes on, with an exception that it may handle; without one if somebody was just in time."""
    text = f"Flow run {context.run.name!r} was paused, and nobody resumed it in time."
    running = Running(message=text, details={"pause_over": True})
    verdict: Verdict = yield Ask(context.recorder.transition, context.run.id, running)
    if not _was_passed(verdict):
        raise FlowPauseTimeout(text)


def _answer(
    context: FlowRunContext, backend: Backend, state: State, question: "Question | None"
) -> Steps[Any]:
    if question is None:
        return None
    key = state.details["run_input_keyset"]["response"]
    sent: SentInput | None = yield Ask(backend.runs.input, context.run.id, key)
    return question.parse(sent.value if sent else {})
