"""`cache_result_in_memory`: whether results of submitted tasks stay in the process once they are stored."""

from pathlib import Path

import pytest

from flows import flow, task
from flows.exceptions import MissingResult
from flows.sdk.memory import MemoryRecorder
from flows.sdk.states import StoredValue


def test_a_stored_result_need_not_stay_in_memory(recorder: MemoryRecorder, tmp_path: Path) -> None:
    @task(result_storage=tmp_path, cache_result_in_memory=False)
    def load() -> list[int]:
        return [1, 2]

    @flow
    def work() -> list[int]:
        future = load.submit()
        future.wait()
        assert isinstance(future.state.data, StoredValue)
        assert future.result() is not future.result()  # read each time
        return future.result()

    assert work() == [1, 2]


def test_a_flow_may_say_it_for_its_tasks_and_a_lost_result_is_told(
    recorder: MemoryRecorder, tmp_path: Path
) -> None:
    @task(result_storage=tmp_path, result_storage_key="load")
    def load() -> int:
        return 1

    @flow(cache_result_in_memory=False)
    def work() -> int:
        future = load.submit()
        future.wait()
        (tmp_path / "load").unlink()
        return future.result()

    with pytest.raises(MissingResult, match="load-0"):
        work()


def test_what_is_not_stored_stays_in_memory(recorder: MemoryRecorder) -> None:
    load = task(cache_result_in_memory=False)(lambda: 7)
    assert flow(name="work")(lambda: load.submit().result())() == 7
