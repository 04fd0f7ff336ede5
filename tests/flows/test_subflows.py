"""Flows called in flows."""

import pytest

from flows import flow, tags, task
from flows.sdk.context import recording
from flows.sdk.memory import MemoryRecorder
from flows.sdk.recorder import FlowRunInfo, NewFlowRun


@flow
def child(number: int) -> int:
    return number + 1


def test_a_subflow_is_a_run_with_a_task_run_that_stands_for_it(recorder: MemoryRecorder) -> None:
    @flow
    def parent() -> int:
        return child(1)

    assert parent() == 2
    parent_run, child_run = recorder.flow_runs
    stand_in = recorder.task_events[0]
    assert child_run.parent_run_id == parent_run.id
    assert child_run.parent_task_run_id == stand_in.task_run_id
    assert (stand_in.flow_run_id, stand_in.name) == (parent_run.id, "child-0")
    assert [event.state.name for event in recorder.task_events] == ["Pending", "Running", "Completed"]


def test_the_task_run_of_a_failed_subflow_fails(recorder: MemoryRecorder) -> None:
    broken = flow(lambda: 1 // 0, name="broken")
    with pytest.raises(ZeroDivisionError):
        flow(lambda: broken(), name="parent")()
    assert [event.state.name for event in recorder.task_events] == ["Pending", "Running", "Failed"]
    assert recorder.states_of("parent") == ["Running", "Failed"]


def test_a_subflow_that_cannot_begin_fails_its_task_run() -> None:
    class Full(MemoryRecorder):
        def begin(self, new: NewFlowRun) -> FlowRunInfo:
            if new.flow_name == "child":
                raise OSError("no room")
            return super().begin(new)

    with recording(Full()) as recorder, pytest.raises(OSError, match="no room"):
        flow(lambda: child(1), name="parent")()
    assert [event.state.name for event in recorder.task_events] == ["Pending", "Running", "Failed"]


def test_a_subflow_that_cannot_be_named_fails(recorder: MemoryRecorder) -> None:
    nameless = child.with_options(flow_run_name="{year}")
    with pytest.raises(ValueError, match="cannot be filled in"):
        flow(lambda: nameless(1), name="parent")()
    assert recorder.states_of("child") == ["Running", "Failed"]


def test_a_failed_subflow_may_be_caught(recorder: MemoryRecorder) -> None:
    broken = flow(lambda: 1 // 0, name="broken")
    assert flow(lambda: broken(return_state=True).name, name="parent")() == "Failed"


def test_futures_become_parameters_and_edges_of_a_subflow(recorder: MemoryRecorder) -> None:
    one = task(lambda: 1, name="one")
    assert flow(lambda: child(one.submit()), name="parent")() == 2
    ids = {event.name: str(event.task_run_id) for event in recorder.task_events}
    stand_in = next(event for event in recorder.task_events if event.name == "child-0")
    assert stand_in.task_inputs == {"number": [ids["one-0"]]}
    assert recorder.flow_runs[1].parameters == {"number": 1}


def test_a_subflow_behind_a_failed_task_does_not_begin(recorder: MemoryRecorder) -> None:
    bad = task(lambda: 1 // 0, name="bad")
    state = flow(lambda: {"child": child(bad.submit(), return_state=True)}, name="parent")()["child"]
    assert state.name == "NotReady"
    assert len(recorder.flow_runs) == 1


def test_tags_reach_subflows(recorder: MemoryRecorder) -> None:
    @flow
    def parent() -> int:
        with tags("inner"):
            return child(1)

    parent()
    assert recorder.flow_runs[1].tags == ("inner",)


def test_tasks_of_a_subflow_belong_to_the_subflow(recorder: MemoryRecorder) -> None:
    one = task(lambda: 1, name="one")
    inner = flow(lambda: one(), name="inner")
    flow(lambda: (inner(), one()), name="parent")()
    outer_run, inner_run = (run.id for run in recorder.flow_runs)
    runs = [event.flow_run_id for event in recorder.task_events if event.name == "one-0"]
    assert runs == [inner_run] * 3 + [outer_run] * 3


async def test_async_subflows_work_alike(recorder: MemoryRecorder) -> None:
    @flow
    async def inner(number: int) -> int:
        return number + 1

    @flow
    async def parent() -> int:
        return await inner(1)

    assert await parent() == 2
    assert recorder.states_of("inner") == ["Running", "Completed"]
