"""Tasks called directly: their states, their names and options."""

import pytest

from flows import flow, tags, task
from flows.sdk.memory import MemoryRecorder
from flows.sdk.states import UnfinishedRun
from flows.states import Failed, State


@task
def double(number: int) -> int:
    """Twice the number."""
    return 2 * number


@task
def fail() -> None:
    raise ValueError("no such file")


def test_a_task_called_outside_flows_is_a_function() -> None:
    assert double(21) == 42


def test_a_call_goes_from_pending_over_running_to_completed(recorder: MemoryRecorder) -> None:
    @flow
    def work() -> int:
        return double(4)

    assert work() == 8
    assert recorder.states_of("double") == ["Pending", "Running", "Completed"]


def test_a_completed_run_carries_its_counters_and_times(recorder: MemoryRecorder) -> None:
    flow(lambda: double(4), name="work")()
    last = recorder.task_events[-1]
    assert last.run_count == 1
    assert last.start_time is not None and last.end_time is not None
    assert last.start_time <= last.end_time
    assert last.total_run_time > 0


def test_sequences_grow_from_state_to_state(recorder: MemoryRecorder) -> None:
    flow(lambda: [double(n) for n in range(3)], name="work")()
    sequences = [event.sequence for event in recorder.task_events]
    assert sequences == sorted(set(sequences))


def test_calls_of_a_task_are_counted_from_0_in_each_flow_run(recorder: MemoryRecorder) -> None:
    @flow
    def work() -> None:
        double(1)
        double(2)

    work()
    work()
    names = [e.name for e in recorder.task_events if e.state.is_completed()]
    assert names == ["double-0", "double-1", "double-0", "double-1"]
    assert [e.dynamic_key for e in recorder.task_events if e.state.is_completed()] == ["0", "1", "0", "1"]


def test_a_failed_task_raises_its_own_exception(recorder: MemoryRecorder) -> None:
    with pytest.raises(ValueError, match="no such file"):
        flow(lambda: fail(), name="work")()
    assert recorder.states_of("fail") == ["Pending", "Running", "Failed"]
    assert recorder.task_events[-1].state.message == (
        "Task run encountered an exception ValueError: no such file"
    )


def test_return_state_returns_the_state_of_a_failed_task() -> None:
    state: State = fail(return_state=True)
    assert state.is_failed()
    with pytest.raises(ValueError, match="no such file"):
        state.result()


def test_a_task_may_return_its_state() -> None:
    @task
    def judge() -> State:
        return Failed(message="too few rows")

    with pytest.raises(UnfinishedRun, match="too few rows"):
        judge()


def test_name_and_description_are_read_off_the_function() -> None:
    assert (double.name, double.description) == ("double", "Twice the number.")


def test_options_are_kept_and_replaced_by_with_options() -> None:
    other = double.with_options(name="twice", retries=3, description="2x", version="7", tags=["math"])
    assert (other.name, other.retries, other.description, other.version) == ("twice", 3, "2x", "7")
    assert other.tags == ("math",)
    assert (double.name, double.retries) == ("double", 0)


def test_task_run_name_is_a_template_over_the_arguments(recorder: MemoryRecorder) -> None:
    named = double.with_options(task_run_name="double {number}")
    flow(lambda: named(7), name="work")()
    assert recorder.task_events[-1].name == "double 7"


def test_a_template_with_an_unknown_argument_fails_the_task_and_says_so() -> None:
    named = double.with_options(task_run_name="double {year}")
    with pytest.raises(
        ValueError, match=r"'double \{year\}' cannot be filled in: 'year'. Parameters are: number"
    ):
        named(7)


def test_tags_of_the_task_and_of_the_block_come_together(recorder: MemoryRecorder) -> None:
    tagged = double.with_options(tags=["math"])

    @flow
    def work() -> None:
        with tags("nightly"):
            tagged(1)
        tagged(2)

    work()
    assert [e.tags for e in recorder.task_events if e.state.is_completed()] == [
        ("nightly", "math"),
        ("math",),
    ]


def test_a_task_inside_a_task_names_its_parent(recorder: MemoryRecorder) -> None:
    @task
    def outer() -> int:
        return double(1)

    flow(lambda: outer(), name="work")()
    ids = {event.name: event.task_run_id for event in recorder.task_events}
    inner = next(event for event in recorder.task_events if event.name == "double-0")
    assert inner.task_inputs == {"__parents__": [str(ids["outer-0"])]}


def test_sys_exit_in_a_task_crashes_it_and_the_flow(recorder: MemoryRecorder) -> None:
    @task
    def leave() -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        flow(lambda: leave(), name="work")()
    assert recorder.states_of("leave") == ["Pending", "Running", "Crashed"]
    assert recorder.task_events[-1].state.message == "The run called sys.exit(3)."
    assert recorder.states_of("work") == ["Running", "Crashed"]


@pytest.mark.parametrize("options", [{"retries": -1}, {"retry_delay_seconds": -0.5}])
def test_negative_retries_and_delays_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be 0 or more"):
        double.with_options(**options)
