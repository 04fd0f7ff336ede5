"""What may be a flow or a task: methods of every kind, coroutine functions, generators."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from flows import flow, runtime, task
from flows.cache_policies import INPUTS
from flows.sdk.engine import run_flow
from flows.sdk.ids import uuid7
from flows.sdk.memory import MemoryRecorder
from flows.sdk.recorder import FlowRunInfo


class Loader:
    factor = 10

    def __init__(self, factor: int) -> None:
        self.factor = factor

    @flow
    def run(self, number: int) -> int:
        return self.times(number) + self.times.submit(number).result()

    @task
    def times(self, number: int) -> int:
        return self.factor * number

    @classmethod
    @flow
    def of_class(cls, number: int) -> int:
        return cls.factor * number

    @flow
    @classmethod
    def of_class_below(cls, number: int) -> int:
        return cls.factor * number

    @staticmethod
    @task
    def of_nobody(number: int) -> int:
        return -number

    @task
    @staticmethod
    def of_nobody_below(number: int) -> int:
        return -number

    @flow
    async def later(self, number: int) -> int:
        return self.factor * number


def test_a_method_is_a_flow_and_calls_methods_that_are_tasks(recorder: MemoryRecorder) -> None:
    assert Loader(3).run("2") == 12
    assert recorder.flow_runs[0].parameters == {"number": "2"}
    assert recorder.states_of("times")[-1] == "Completed"


def test_class_and_static_methods(recorder: MemoryRecorder) -> None:
    assert Loader.of_class(2) == Loader(1).of_class(2) == 20
    assert Loader.of_class_below(2) == Loader(1).of_class_below(2) == 20
    assert Loader.of_nobody(2) == Loader(1).of_nobody(2) == -2
    assert Loader.of_nobody_below(2) == Loader(1).of_nobody_below(2) == -2


def test_options_of_a_method_may_be_changed(recorder: MemoryRecorder) -> None:
    assert Loader(3).run.with_options(name="other")(1) == 6
    assert recorder.flow_runs[0].flow_name == "other"
    assert Loader.run.with_options(name="third").name == "third"


async def test_a_method_may_be_a_coroutine_function(recorder: MemoryRecorder) -> None:
    assert await Loader(3).later(2) == 6


def test_a_flow_may_be_a_generator(recorder: MemoryRecorder) -> None:
    name = task(lambda: runtime.task_run.name, name="name")

    @flow
    def numbers(count: int) -> Iterator[Any]:
        for number in range(count):
            yield number, name()

    assert list(numbers(2)) == [(0, "name-0"), (1, "name-1")]
    assert recorder.states_of("numbers") == ["Running", "Completed"]


def test_the_caller_of_a_generator_is_not_in_its_run(recorder: MemoryRecorder) -> None:
    seen: list[Any] = []

    @flow
    def numbers() -> Iterator[int]:
        yield 1

    for _ in numbers():
        seen.append(runtime.flow_run.id)
    assert seen == [None]


def test_a_task_may_be_a_generator(recorder: MemoryRecorder) -> None:
    @task
    def letters(text: str) -> Iterator[str]:
        yield from text

    @flow
    def work() -> list[Any]:
        return [list(letters("ab")), letters.submit("cd").result()]

    assert work() == [["a", "b"], ["c", "d"]]
    assert recorder.states_of("letters").count("Completed") == 2


def test_a_generator_that_raises_fails_after_its_items(recorder: MemoryRecorder) -> None:
    got: list[int] = []

    @flow
    def numbers() -> Iterator[int]:
        yield 1
        raise LookupError("no more")

    with pytest.raises(LookupError):
        for number in numbers():
            got.append(number)
    assert got == [1]
    assert recorder.states_of("numbers") == ["Running", "Failed"]


def test_a_generator_that_is_left_early_has_completed(recorder: MemoryRecorder) -> None:
    ended: list[bool] = []

    @flow
    def numbers() -> Iterator[int]:
        try:
            yield 1
            yield 2
        finally:
            ended.append(True)

    items = numbers()
    assert next(items) == 1
    items.close()
    assert (ended, recorder.states_of("numbers")) == ([True], ["Running", "Completed"])


async def test_flows_and_tasks_may_be_async_generators(recorder: MemoryRecorder) -> None:
    @task
    async def letters(text: str) -> AsyncIterator[str]:
        for letter in text:
            yield letter

    @flow
    async def work() -> AsyncIterator[str]:
        async for letter in letters("ab"):
            yield letter.upper()

    assert [letter async for letter in work()] == ["A", "B"]
    assert recorder.states_of("letters")[-1] == "Completed"
    assert recorder.states_of("work") == ["Running", "Completed"]


def test_an_agent_runs_a_generator_to_its_end() -> None:
    @flow
    def numbers() -> Iterator[int]:
        yield from range(3)

    run = FlowRunInfo(uuid7(), "brave-otter", "numbers", {}, attempt=1)
    assert run_flow(numbers, {}, recorder=MemoryRecorder(), run=run).result() == [0, 1, 2]


def test_the_list_of_a_submitted_generator_is_a_result_like_any_other(recorder: MemoryRecorder) -> None:
    calls: list[int] = []

    @task(cache_policy=INPUTS)
    def numbers(count: int) -> Iterator[int]:
        calls.append(count)
        yield from range(count)

    @flow
    def work() -> tuple[object, list[int]]:
        return numbers.submit(3).result(), list(numbers(3))

    assert [work(), work()] == [([0, 1, 2], [0, 1, 2])] * 2
    assert calls == [3, 3, 3]  # once for the result, and each time for a caller who takes items


def test_a_generator_has_no_state_to_return() -> None:
    @flow
    def numbers() -> Iterator[int]:
        yield 1

    with pytest.raises(ValueError, match="numbers' is a generator"):
        numbers(return_state=True)
