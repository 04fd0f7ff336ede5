"""Edges between direct calls: results that are passed on are known again."""

import gc
import weakref

from flows import flow, task
from flows.sdk.context import recording
from flows.sdk.memory import MemoryRecorder
from flows.sdk.origins import MOST_VALUES


class Table:
    """A result that can be asked whether it is still in memory."""


@task
def extract(number: int = 0) -> list[int]:
    return [number]


@task
def tables() -> list[Table]:
    return [Table()]


@task
def join(*parts: object, **named: object) -> str:
    return "joined parts"


@task
def merge(rows: list[list[int]], more: dict[str, list[int]]) -> None: ...


@task
def one() -> int:
    return 1


def edges_of(recorder: MemoryRecorder, name: str) -> dict[str, list[str]]:
    """The edges of a task run, by the names of the runs that they come from."""
    names = {str(event.task_run_id): event.name for event in recorder.task_events}
    (event,) = [e for e in recorder.task_events if e.name == name and e.state.is_pending()]
    return {key: [names[source] for source in sources] for key, sources in event.task_inputs.items()}


def test_a_result_that_is_passed_on_is_an_edge(recorder: MemoryRecorder) -> None:
    @flow
    def work() -> None:
        join(join(extract()))

    work()
    assert edges_of(recorder, "join-0") == {"parts": ["extract-0"]}
    assert edges_of(recorder, "join-1") == {"parts": ["join-0"]}


def test_results_in_a_collection_are_known_too(recorder: MemoryRecorder) -> None:
    @flow
    def work() -> None:
        first, second = extract(1), extract(2)
        merge([first, second], {"x": first})

    work()
    expected = {"rows": ["extract-0", "extract-1"], "more": ["extract-0"]}
    assert edges_of(recorder, "merge-0") == expected


def test_what_a_future_resulted_in_is_known(recorder: MemoryRecorder) -> None:
    @flow
    def work() -> None:
        join.submit(extract.submit().result()).wait()

    work()
    assert edges_of(recorder, "join-0") == {"parts": ["extract-0"]}


def test_the_result_of_a_subflow_is_known(recorder: MemoryRecorder) -> None:
    @flow
    def inner() -> list[int]:
        return [1]

    @flow
    def work() -> None:
        join(inner())

    work()
    assert edges_of(recorder, "join-0") == {"parts": ["inner-0"]}


def test_equal_values_and_small_numbers_are_no_edges(recorder: MemoryRecorder) -> None:
    @flow
    def work() -> None:
        extract(5)
        one()
        join([5], 1)

    work()
    assert edges_of(recorder, "join-0") == {}


def test_what_the_flow_has_dropped_leaves_memory() -> None:
    @flow
    def work() -> bool:
        inside = weakref.ref(tables()[0])
        extract()  # a list itself cannot be held weakly: it is let go at the next result
        gc.collect()
        return inside() is None

    with recording(MemoryRecorder(limit=0)):
        assert work()


def test_only_the_latest_are_remembered(recorder: MemoryRecorder) -> None:
    @flow
    def work() -> None:
        results = [extract(number) for number in range(MOST_VALUES + 1)]
        join(results[0], named=results[-1])

    work()
    assert edges_of(recorder, "join-0") == {"named": [f"extract-{MOST_VALUES}"]}
