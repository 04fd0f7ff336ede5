"""Cache policies: which calls of a task share one result."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import time_machine

from flows import Task, flow, task
from flows.cache_policies import (
    DEFAULT,
    FLOW_PARAMETERS,
    INPUTS,
    NO_CACHE,
    RUN_ID,
    TASK_SOURCE,
    CachePolicy,
)
from flows.locking.memory import MemoryLockManager
from flows.sdk.memory import MemoryRecorder
from flows.tasks import task_input_hash


class Counted:
    """A task that counts its calls: `counted(number, debug=False)` returns twice the number."""

    def __init__(self, **options: Any) -> None:
        self.calls = 0

        def double(number: int = 1, debug: bool = False) -> int:
            self.calls += 1
            return 2 * number

        self.task: Task[..., int] = task(**options)(double)

    def __call__(self, *args: Any, **kwargs: Any) -> int:
        return self.task(*args, **kwargs)


class Shop:
    calls = 0

    def __init__(self, name: str) -> None:
        self.name = name

    @task(cache_policy=INPUTS)
    def price(self, item: int) -> str:
        Shop.calls += 1
        return f"{self.name}{item}"


def in_flow(work: Callable[..., Any], **parameters: Any) -> Any:
    return flow(name="work", validate_parameters=False)(work)(**parameters)


def test_inputs_share_a_result_across_runs(recorder: MemoryRecorder) -> None:
    double = Counted(cache_policy=INPUTS)
    for _ in range(2):
        assert in_flow(lambda: [double(1), double(2), double(1)]) == [2, 4, 2]
    assert double.calls == 2
    assert recorder.states_of("double").count("Cached") == 4
    first, _, third = [e for e in recorder.task_events if e.state.is_terminal()][:3]
    assert (first.state.name, first.run_count) == ("Completed", 1)
    assert (third.state.name, third.state.result()) == ("Cached", 2)


def test_a_cached_run_has_its_name_and_its_hooks(recorder: MemoryRecorder) -> None:
    seen: list[str] = []

    @task(
        cache_policy=INPUTS,
        task_run_name="load-of-{day}",
        on_completion=[lambda task, run, state: seen.append(f"{run.name} {state.name}")],
    )
    def load(day: str) -> str:
        return day

    in_flow(lambda: [load("monday"), load("monday")])
    assert seen == ["load-of-monday Completed", "load-of-monday Cached"]


def test_methods_of_other_objects_are_other_calls(recorder: MemoryRecorder) -> None:
    assert in_flow(lambda: [Shop("a").price(1), Shop("b").price(1), Shop("a").price(1)]) == ["a1", "b1", "a1"]
    assert Shop.calls == 2


def test_a_task_without_options_is_always_called(recorder: MemoryRecorder) -> None:
    double = Counted()
    in_flow(lambda: [double(1), double(1)])
    assert double.calls == 2


def test_persist_result_means_inputs_source_and_run(recorder: MemoryRecorder) -> None:
    double = Counted(persist_result=True)
    in_flow(lambda: [double(1), double(1), double(2)])
    assert double.calls == 2
    in_flow(lambda: double(1))
    assert double.calls == 3


def test_a_flow_says_it_for_its_tasks_and_a_task_may_refuse(recorder: MemoryRecorder) -> None:
    double, refusing = Counted(), Counted(persist_result=False)

    @flow(persist_result=True)
    def work() -> None:
        for _ in range(2):
            double(1)
            refusing(1)

    work()
    assert (double.calls, refusing.calls) == (1, 2)


def test_the_environment_says_it_for_all(recorder: MemoryRecorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTAL_RESULTS_PERSIST_BY_DEFAULT", "true")
    double = Counted()
    in_flow(lambda: [double(1), double(1)])
    assert double.calls == 1


def test_what_is_subtracted_does_not_matter(recorder: MemoryRecorder) -> None:
    double = Counted(cache_policy=INPUTS - "debug")
    in_flow(lambda: [double(1, debug=True), double(1, debug=False)])
    assert double.calls == 1
    assert INPUTS - "debug" - "number" == (INPUTS - "debug") - "number"
    with pytest.raises(TypeError, match="Subtract the name of an argument"):
        INPUTS - 3  # type: ignore[operator]


def test_no_cache_keeps_nothing_and_adds_nothing(recorder: MemoryRecorder) -> None:
    double = Counted(cache_policy=NO_CACHE)
    in_flow(lambda: [double(1), double(1)])
    assert double.calls == 2
    assert NO_CACHE + INPUTS == INPUTS
    assert INPUTS + NO_CACHE == INPUTS


def test_run_id_separates_runs(recorder: MemoryRecorder) -> None:
    double = Counted(cache_policy=INPUTS + RUN_ID)
    for _ in range(2):
        in_flow(lambda: [double(1), double(1)])
    assert double.calls == 2


def test_flow_parameters_separate_runs_with_others(recorder: MemoryRecorder) -> None:
    double = Counted(cache_policy=FLOW_PARAMETERS)
    for day in (1, 1, 2):
        in_flow(lambda day: double(7), day=day)
    assert double.calls == 2


def test_task_source_separates_other_code(recorder: MemoryRecorder) -> None:
    results = []

    @task(name="same", cache_policy=TASK_SOURCE + INPUTS)
    def one(number: int) -> int:
        return number + 1

    @task(name="same", cache_policy=TASK_SOURCE + INPUTS)
    def other(number: int) -> int:
        return number + 2

    in_flow(lambda: results.extend([one(1), other(1)]))
    assert results == [2, 3]


def test_code_without_source_is_told_apart_by_what_it_does(recorder: MemoryRecorder) -> None:
    results = []
    for number in (1, 2, 1):
        names: dict[str, Any] = {}
        exec(f"def typed_in(): return {number}", names)
        results.append(task(cache_policy=TASK_SOURCE)(names["typed_in"])())
    assert results == [1, 2, 1]


def test_policies_that_are_configured_differently_cannot_be_added() -> None:
    with pytest.raises(ValueError, match="different storage locations: '/a' and '/b'"):
        INPUTS.configure(key_storage="/a") + TASK_SOURCE.configure(key_storage="/b")
    assert (INPUTS.configure(key_storage="/a") + TASK_SOURCE).key_storage == "/a"
    assert INPUTS.key_storage is None


def test_key_storage_is_shared_by_processes_with_a_key(
    recorder: MemoryRecorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTAL_RESULT_KEYS", "a secret of both")
    double = Counted(cache_policy=INPUTS.configure(key_storage=tmp_path))
    in_flow(lambda: double(1))
    recorder.results = type(recorder.results)()  # as in another process
    in_flow(lambda: double(1))
    assert double.calls == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_a_policy_of_ones_own(recorder: MemoryRecorder) -> None:
    @dataclass
    class Parity(CachePolicy):
        prefix: str = "number"

        def compute_key(self, task_ctx: Any, inputs: Any, flow_parameters: Any, **kwargs: Any) -> str:
            return f"{self.prefix}-{inputs['number'] % 2}"

    double = Counted(cache_policy=Parity())
    assert in_flow(lambda: [double(1), double(2), double(3), double(4)]) == [2, 4, 2, 4]
    assert Parity(prefix="other").configure(key_storage="/a").prefix == "other"
    assert isinstance(Parity() + INPUTS, CachePolicy)


def test_cache_key_fn(recorder: MemoryRecorder) -> None:
    def key(context: Any, parameters: dict[str, Any]) -> str | None:
        assert context.task_run.flow_run_id == recorder.flow_runs[-1].id
        return f"{context.task.name}-{parameters['number']}" if parameters["number"] else None

    double = Counted(cache_key_fn=key)
    in_flow(lambda: [double(1), double(1), double(0), double(0)])
    assert double.calls == 3


def test_task_input_hash(recorder: MemoryRecorder) -> None:
    double = Counted(cache_key_fn=task_input_hash)
    for _ in range(2):
        in_flow(lambda: [double(1), double(2), double(number=1)])
    assert double.calls == 2


@pytest.mark.parametrize("options", [{"cache_key_fn": lambda c, p: 42}, {"cache_key_fn": lambda c, p: b"x"}])
def test_a_cache_key_that_is_not_a_string_fails_the_task_run(
    recorder: MemoryRecorder, options: dict[str, Any]
) -> None:
    double = Counted(**options)
    state = double.task(1, return_state=True)
    assert state.is_failed()
    assert "The cache key of task 'double' must be a string, or None for no caching; it is" in state.message
    assert double.calls == 0


def test_a_key_function_that_raises_costs_only_the_caching(recorder: MemoryRecorder) -> None:
    double = Counted(cache_key_fn=lambda context, parameters: parameters["nothing"])
    assert in_flow(lambda: [double(1), double(1)]) == [2, 2]
    assert double.calls == 2
    assert "No cache key could be computed" in recorder.logs[0].message


def test_inputs_that_cannot_be_hashed_are_said_how_to_leave_out(recorder: MemoryRecorder) -> None:
    @task(cache_policy=INPUTS)
    def use(lock: Any) -> str:
        return "used"

    assert in_flow(lambda: use(threading.Lock())) == "used"
    assert 'Leave such arguments out (INPUTS - "name")' in recorder.logs[0].message


def test_expiration(recorder: MemoryRecorder) -> None:
    double = Counted(cache_policy=INPUTS, cache_expiration=timedelta(hours=1))
    start = datetime(2030, 1, 1, tzinfo=UTC)
    for minutes, calls in ((0, 1), (59, 1), (61, 2), (119, 2)):
        with time_machine.travel(start + timedelta(minutes=minutes), tick=False):
            double(1)
        assert double.calls == calls


def test_refresh_cache_computes_anew_and_replaces(
    recorder: MemoryRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    @task(cache_policy=INPUTS)
    def count() -> int:
        calls.append(1)
        return len(calls)

    policy = INPUTS + TASK_SOURCE
    cached = count.with_options(cache_policy=policy)
    assert [cached(), cached(), cached.with_options(refresh_cache=True)(), cached()] == [1, 1, 2, 2]
    monkeypatch.setenv("PORTAL_TASKS_REFRESH_CACHE", "true")
    assert [cached(), cached.with_options(refresh_cache=False)()] == [3, 3]


def test_a_lock_manager_of_ones_own_is_asked(recorder: MemoryRecorder) -> None:
    class Noting(MemoryLockManager):
        asked: list[str] = []

        def acquire_lock(self, key: str, holder: str, *args: Any, **kwargs: Any) -> bool:
            self.asked.append(key)
            return super().acquire_lock(key, holder, *args, **kwargs)

    locks = Noting()
    double = Counted(cache_policy=INPUTS.configure(lock_manager=locks))
    in_flow(lambda: double(1))
    assert len(locks.asked) == 1 and not locks.is_locked(locks.asked[0])


def test_outside_flows_results_live_in_the_process() -> None:
    unique = uuid4().hex
    double = Counted(cache_key_fn=lambda context, parameters: unique)
    assert [double(1), double(1)] == [2, 2]
    assert double.calls == 1


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"cache_policy": "INPUTS"}, "cache_policy is one of flows.cache_policies"),
        ({"cache_key_fn": "key"}, "cache_key_fn is a function of context and parameters, not 'key'"),
        ({"cache_expiration": 60}, "cache_expiration is a time such as timedelta"),
        ({"result_storage": 3}, "Result storage is a folder or a URL"),
        ({"on_commit": ["notify"]}, "on_commit is a list of functions"),
    ],
)
def test_options_are_checked_when_they_are_given(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(TypeError, match=complaint):
        Counted(**options)


def test_default_is_inputs_source_and_run() -> None:
    assert DEFAULT == INPUTS + TASK_SOURCE + RUN_ID
