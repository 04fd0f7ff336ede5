"""Annotated inputs: allow_failure, quote and opaque."""

from flows import allow_failure, flow, task
from flows.sdk.memory import MemoryRecorder
from flows.sdk.states import Failed
from flows.utilities.annotations import opaque, quote


@task
def add(a: int, b: int = 1) -> int:
    return a + b


@task
def fail() -> int:
    raise ValueError("broken")


def test_a_failed_input_that_is_allowed_to_fail_is_its_exception() -> None:
    kind = task(lambda error: type(error).__name__, name="kind")
    assert flow(lambda: kind(allow_failure(fail.submit())), name="work")() == "ValueError"


def test_allowed_failures_inside_collections_stand_beside_results(recorder: MemoryRecorder) -> None:
    count = task(lambda parts: sum(isinstance(part, ValueError) for part in parts), name="count")
    assert flow(lambda: count(allow_failure([fail.submit(), add.submit(1)])), name="work")() == 1
    edges = next(event for event in recorder.task_events if event.name == "count-0").task_inputs
    assert [len(ids) for ids in edges.values()] == [2]


def test_a_task_may_wait_for_one_that_fails() -> None:
    @flow
    def work() -> int:
        return add.submit(1, wait_for=[allow_failure(fail.submit())]).result()

    assert work() == 2


def test_map_marks_each_item_as_allowed_to_fail() -> None:
    failed = task(lambda value: isinstance(value, ValueError), name="failed")

    @flow
    def work() -> list[bool]:
        return failed.map(allow_failure([fail.submit(), add.submit(1)])).result()

    assert work() == [True, False]


def test_a_subflow_takes_a_failure_that_is_allowed() -> None:
    @flow(validate_parameters=False)
    def inner(error: object) -> str:
        return repr(error)

    assert flow(lambda: inner(allow_failure(fail.submit())), name="work")() == "ValueError('broken')"


def test_futures_inside_a_quote_are_left_alone(recorder: MemoryRecorder) -> None:
    kind = task(lambda given: type(given[0]).__name__, name="kind")
    assert flow(lambda: kind(quote([add.submit(1)])), name="work")() == "TaskFuture"
    assert next(event for event in recorder.task_events if event.name == "kind-0").task_inputs == {}


def test_a_quoted_state_is_a_result_like_any_other() -> None:
    work = flow(lambda: quote([Failed(message="an example")]), name="work")
    state = work(return_state=True)
    assert state.is_completed()
    assert state.data[0].message == "an example"


def test_an_opaque_input_is_resolved_but_not_looked_into() -> None:
    first = task(lambda given: type(given[0] if isinstance(given, list) else given).__name__, name="first")
    assert flow(lambda: first(opaque(add.submit(1))), name="work")() == "int"
    assert flow(lambda: first(opaque([add.submit(1)])), name="work")() == "TaskFuture"


def test_annotations_can_be_opened_and_compared() -> None:
    assert quote(1).unquote() == quote(2).rewrap(1).unwrap() == 1
    assert (quote(1) == quote(1), quote(1) == opaque(1)) == (True, False)
    assert repr(allow_failure(1)) == "AllowFailure(1)"
