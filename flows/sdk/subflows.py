"""Calling a flow: where its run comes from, and the task run that stands for it in a surrounding flow."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flows.sdk import logs, names
from flows.sdk.context import (
    FlowRunContext,
    current_flow,
    current_recorder,
    current_tags,
    current_task,
    merge_tags,
)
from flows.sdk.crashes import STOPS, stopped
from flows.sdk.engine import FlowEngine
from flows.sdk.flow_results import KeptSubflow
from flows.sdk.ids import uuid7
from flows.sdk.inputs import UpstreamTaskError, futures_of, resolved
from flows.sdk.options import key_of
from flows.sdk.parameters import as_json
from flows.sdk.recorder import FlowRunInfo, NewFlowRun, Recorder
from flows.sdk.reuse import all_anew, is_anew, replay_scope, scope_of
from flows.sdk.scripts import script_recorder
from flows.sdk.states import Failed, Pending, Running, State
from flows.sdk.steps import Steps, Wait
from flows.sdk.task_engine import edges
from flows.sdk.task_run import TaskRun

if TYPE_CHECKING:
    from flows.sdk.flows import Flow


def called(
    flow: "Flow[Any, Any]", args: Sequence[Any], kwargs: Mapping[str, Any], wait_for: Iterable[Any]
) -> Steps[State]:
    """Run a flow as it was called in Python, and return its final state."""
    values = flow.parameters.of_call(args, kwargs)
    parent = current_flow.get()
    if parent is not None:
        return (yield from _as_subflow(flow, values, tuple(wait_for), parent))
    if recorder := current_recorder.get():
        return (yield from _engine(flow, values, recorder).steps())
    with script_recorder() as recorder:
        return (yield from _engine(flow, values, recorder).steps())


def _as_subflow(
    flow: "Flow[Any, Any]", values: dict[str, Any], wait_for: tuple[Any, ...], parent: FlowRunContext
) -> Steps[State]:
    inputs = edges(values, wait_for, parent)
    if task := current_task.get():
        inputs["__parents__"] = [str(task.id)]
    tags = merge_tags(current_tags.get(), flow.tags)
    stand_in = TaskRun(parent, flow.name, key_of(flow.fn, flow.name), tags, inputs)
    try:
        yield Wait(futures_of((*values.values(), *wait_for)))
        values = resolved(values)
        resolved(wait_for)
    except UpstreamTaskError as error:
        return stand_in.enter(Pending(name="NotReady", message=str(error)))
    scope, anew = scope_of(parent), is_anew(stand_in)
    kept = KeptSubflow(flow, values, parent, stand_in)
    key = kept.key(scope)
    if not anew and (cached := kept.found(key, logs.flow_logger(parent))):
        return stand_in.enter(cached)
    stand_in.enter(Running())
    try:
        engine = _engine(flow, values, parent.recorder, parent.run, stand_in, key)
    except STOPS as signal:
        stand_in.enter(stopped(signal))
        raise
    except Exception as error:
        stand_in.enter(Failed(message=f"The subflow could not begin: {error}", data=error))
        raise
    token = replay_scope.set(f"{scope}/{stand_in.task_key}-{stand_in.dynamic_key}")
    anew_before = all_anew.set(anew)
    try:
        state = yield from engine.steps()
        kept.remember(state)
        return state
    finally:
        all_anew.reset(anew_before)
        replay_scope.reset(token)
        if engine.state is not None and engine.state.is_terminal():
            stand_in.enter(engine.state.anew())
            if engine.state.is_completed():
                parent.origins.note(engine.state.data, stand_in.id)


def _engine(
    flow: "Flow[Any, Any]",
    values: dict[str, Any],
    recorder: Recorder,
    parent: FlowRunInfo | None = None,
    stand_in: TaskRun | None = None,
    result_key: str | None = None,
) -> FlowEngine:
    """Begin a flow run, ready to go."""
    new = NewFlowRun(
        id=uuid7(),
        flow_name=flow.name,
        name=names.random_name(),
        parameters={key: as_json(value) for key, value in values.items()},
        tags=merge_tags(current_tags.get(), flow.tags),
        parent_run_id=parent.id if parent else None,
        parent_task_run_id=stand_in.id if stand_in else None,
    )
    run = recorder.begin(new)
    if parent and parent.deployment_id:
        run = replace(run, parent_deployment_id=parent.deployment_id)
    return FlowEngine(flow, values, recorder, run, result_key=result_key)
