"""Submitted tasks: futures, map, waiting, edges."""

import gc
import threading
import weakref

import pytest

from flows import flow, task, unmapped
from flows.futures import as_completed, wait
from flows.sdk.context import recording
from flows.sdk.memory import MemoryRecorder
from flows.sdk.states import UnfinishedRun
from flows.task_runners import ThreadPoolTaskRunner


@task
def add(a: int, b: int = 1) -> int:
    return a + b


@task
def fail() -> int:
    raise ValueError("broken")


def test_submit_returns_a_future_of_the_result() -> None:
    @flow
    def work() -> int:
        return add.submit(1, 2).result()

    assert work() == 3


def test_submitted_tasks_run_side_by_side() -> None:
    meeting = threading.Barrier(3, timeout=60)

    @task
    def meet() -> int:
        return meeting.wait()

    @flow
    def work() -> set[int]:
        futures = [meet.submit() for _ in range(3)]
        return {future.result() for future in futures}

    assert work() == {0, 1, 2}


def test_a_future_as_input_becomes_its_result_and_an_edge(recorder: MemoryRecorder) -> None:
    @flow
    def work() -> int:
        first = add.submit(1)
        return add.submit(first, b=10).result()

    assert work() == 12
    ids = {event.name: str(event.task_run_id) for event in recorder.task_events}
    second = next(event for event in recorder.task_events if event.name == "add-1")
    assert second.task_inputs == {"a": [ids["add-0"]]}


def test_futures_inside_collections_resolve() -> None:
    @task
    def total(parts: dict[str, list[int]]) -> int:
        return sum(parts["numbers"])

    @flow
    def work() -> int:
        return total({"numbers": [add.submit(1), 5, add.submit(2)]})

    assert work() == 2 + 5 + 3


def test_collections_without_futures_are_passed_as_they_are() -> None:
    numbers = [1, 2, 3]
    same = task(lambda given: given is numbers, name="same")
    assert same(numbers)


def test_a_collection_that_contains_itself_is_passed_as_it_is() -> None:
    ring: list[object] = [1]
    ring.append(ring)
    same = task(lambda given: given is ring, name="same")
    assert same(ring)


def test_wait_for_lets_others_finish_first_and_draws_an_edge(recorder: MemoryRecorder) -> None:
    gate, order = threading.Event(), []

    @task
    def first() -> None:
        gate.wait(60)
        order.append("first")

    @task
    def second() -> None:
        order.append("second")

    @flow
    def work() -> None:
        before = first.submit()
        after = second.submit(wait_for=[before])
        gate.set()
        after.wait()

    work()
    assert order == ["first", "second"]
    ids = {event.name: str(event.task_run_id) for event in recorder.task_events}
    assert recorder.task_events[-1].task_inputs == {"wait_for": [ids["first-0"]]}


def test_a_task_behind_a_failed_one_is_not_ready(recorder: MemoryRecorder) -> None:
    @flow
    def work() -> None:
        add.submit(fail.submit()).wait()

    work()
    assert recorder.states_of("add") == ["Pending", "NotReady"]
    assert recorder.task_events[-1].state.is_pending()
    assert "'fail-0' did not complete" in recorder.task_events[-1].state.message


def test_the_result_of_a_task_that_was_not_ready_raises() -> None:
    @flow
    def work() -> int:
        return add.submit(1, wait_for=[fail.submit()]).result()

    with pytest.raises(UnfinishedRun, match="NotReady"):
        work()


def test_map_calls_once_per_item_in_order() -> None:
    @flow
    def work() -> list[int]:
        return add.map(range(100), 5).result()

    assert work() == [number + 5 for number in range(100)]


def test_map_goes_over_several_iterables_together() -> None:
    flow_of = flow(lambda: add.map([1, 2], b=[10, 20]).result(), name="work")
    assert flow_of() == [11, 22]


def test_unmapped_values_are_passed_whole() -> None:
    @task
    def position(item: str, among: list[str]) -> int:
        return among.index(item)

    names = ["a", "b"]
    flow_of = flow(lambda: position.map(names, unmapped(names)).result(), name="work")
    assert flow_of() == [0, 1]


def test_map_over_a_future_goes_over_its_result_and_draws_edges(recorder: MemoryRecorder) -> None:
    numbers = task(lambda: [1, 2, 3], name="numbers")
    flow_of = flow(lambda: add.map(numbers.submit()).result(), name="work")
    assert flow_of() == [2, 3, 4]
    source = str(recorder.task_events[0].task_run_id)
    assert recorder.task_events[-1].task_inputs == {"wait_for": [source]}


def test_map_refuses_iterables_of_different_lengths() -> None:
    with pytest.raises(ValueError, match=r"same length.*0: 2, b: 3"):
        flow(lambda: add.map([1, 2], b=[1, 2, 3]), name="work")()


def test_map_refuses_arguments_that_cannot_be_iterated_over() -> None:
    with pytest.raises(ValueError, match="at least one argument to iterate over"):
        flow(lambda: add.map(1), name="work")()


def test_submit_outside_flows_says_what_to_do() -> None:
    with pytest.raises(RuntimeError, match="'add' can only be submitted inside a flow"):
        add.submit(1)


def test_return_state_waits_for_the_final_state() -> None:
    state = flow(lambda: {"state": fail.submit(return_state=True)}, name="work")()["state"]
    assert state.is_failed()


def test_result_gives_up_after_its_timeout() -> None:
    gate = threading.Event()
    hold = task(lambda: gate.wait(60), name="hold")

    @flow
    def work() -> None:
        future = hold.submit()
        try:
            with pytest.raises(TimeoutError, match=r"'hold-0' was not over after 0.01 seconds"):
                future.result(timeout=0.01)
        finally:
            gate.set()

    work()


def test_wait_tells_done_from_not_done() -> None:
    gate = threading.Event()
    hold = task(lambda: gate.wait(60), name="hold")

    @flow
    def work() -> tuple[int, int]:
        quick, slow = add.submit(1), hold.submit()
        quick.wait()
        done, not_done = wait([quick, slow], timeout=0.01)
        gate.set()
        return len(done), len(not_done)

    assert work() == (1, 1)


def test_as_completed_yields_in_order_of_completion() -> None:
    gate = threading.Event()
    hold = task(lambda: gate.wait(60), name="hold")

    @flow
    def work() -> list[str]:
        slow, quick = hold.submit(), add.submit(1)
        names = []
        for future in as_completed([slow, quick]):
            names.append(future.name)
            gate.set()
        return names

    assert work() == ["add-0", "hold-0"]


def test_a_flow_waits_for_tasks_that_nobody_waits_for(recorder: MemoryRecorder) -> None:
    @flow
    def work() -> None:
        for number in range(20):
            add.submit(number)

    work()
    assert sum(event.state.is_completed() for event in recorder.task_events) == 20


def test_tasks_that_wait_for_tasks_do_not_use_up_the_threads() -> None:
    @task
    def nested(depth: int) -> int:
        return 0 if depth == 0 else 1 + nested.submit(depth - 1).result()

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
    def work() -> list[int]:
        return nested.map([5] * 10).result()

    assert work() == [5] * 10


def test_max_workers_bounds_the_threads() -> None:
    seen = set()
    note = task(lambda number: seen.add(threading.get_ident()), name="note")

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
    def work() -> None:
        note.map(range(50))

    work()
    assert 1 <= len(seen) <= 2


def test_dropped_futures_and_their_results_can_be_collected() -> None:
    class Big:
        pass

    make = task(lambda: Big(), name="make")
    alive: list[bool] = []

    @flow
    def work() -> None:
        future = make.submit()
        big = weakref.ref(future.result())
        del future
        gc.collect()
        alive.append(big() is not None)

    with recording(MemoryRecorder(limit=0)):
        work()
    assert alive == [False]


def test_a_list_of_futures_raises_as_soon_as_one_fails() -> None:
    gate = threading.Event()

    @task
    def one(number: int) -> None:
        if number:
            raise ValueError("broken")
        gate.wait(60)

    @flow
    def work() -> None:
        futures = one.map([0, 1])
        try:
            with pytest.raises(ValueError, match="broken"):
                futures.result()
            assert not futures[0].done()
        finally:
            gate.set()

    work()


def test_the_timeout_of_a_list_is_for_all_of_its_futures() -> None:
    gate = threading.Event()
    hold = task(lambda number: gate.wait(60), name="hold")

    @flow
    def work() -> None:
        futures = hold.map(range(5))
        try:
            futures.wait(timeout=0.01)
            with pytest.raises(TimeoutError, match="5 of 5 task runs were not over"):
                futures.result(timeout=0.01)
        finally:
            gate.set()

    work()


def test_a_list_of_futures_gives_exceptions_in_their_places() -> None:
    wants = task(lambda number: 6 // number, name="wants")
    outcome = flow(lambda: wants.map([1, 0, 2]).result(raise_on_failure=False), name="work")()
    assert [type(value).__name__ for value in outcome] == ["int", "ZeroDivisionError", "int"]


def test_as_completed_yields_each_future_once() -> None:
    @flow
    def work() -> int:
        future = add.submit(1)
        return len(list(as_completed([future, future])))

    assert work() == 1


def test_as_completed_inside_tasks_does_not_use_up_the_threads() -> None:
    @task
    def outer() -> int:
        return sum(future.result() for future in as_completed([add.submit(n) for n in range(3)]))

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def work() -> int:
        return outer.submit().result()

    assert work() == 1 + 2 + 3


def test_negative_timeouts_are_refused() -> None:
    with pytest.raises(ValueError, match="timeout must be 0 or more seconds, not -1"):
        wait([], timeout=-1)


def test_a_callback_gets_its_future() -> None:
    names: list[str] = []

    @flow
    def work() -> None:
        future = add.submit(1)
        future.wait()
        future.add_done_callback(lambda done: names.append(done.name))

    work()
    assert names == ["add-0"]


def test_a_runner_may_be_given_as_its_class() -> None:
    assert flow(lambda: add.submit(1).result(), name="work", task_runner=ThreadPoolTaskRunner)() == 2


def test_what_is_no_runner_is_refused() -> None:
    with pytest.raises(TypeError, match=r"task_runner must be one of flows.task_runners, not 'threads'"):
        flow(lambda: None, name="work", task_runner="threads")
