"""Blocks as result storage: given themselves, or by the name under which they were saved."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import PrivateAttr, ValidationError

from flows import flow, task
from flows.cache_policies import INPUTS
from flows.filesystems import LocalFileSystem, RemoteFileSystem, WritableFileSystem
from flows.sdk import result_files
from flows.sdk.backend import backed_by
from flows.sdk.memory import MemoryRecorder
from flows.sdk.memory_backend import memory_backend


class Shelf(WritableFileSystem):
    """A block of the user's own, with coroutine functions as in Prefect."""

    _files: dict[str, bytes] = PrivateAttr(default_factory=dict)

    async def read_path(self, path: str) -> bytes:
        return self._files[path] if path in self._files else missing(path)

    async def write_path(self, path: str, content: bytes) -> None:
        self._files[path] = content


def missing(path: str) -> bytes:
    raise ValueError(f"no {path}")


def calls_with(storage: Any, **options: Any) -> int:
    """How often a task is called by two runs of a flow that keeps results there."""
    calls = []

    @task(cache_policy=INPUTS, result_storage=storage, **options)
    def double(number: int) -> int:
        calls.append(number)
        return 2 * number

    work = flow(lambda: double(3), name="work")
    assert [work(), work()] == [6, 6]
    return len(calls)


def test_results_are_kept_in_a_folder_that_a_block_names(recorder: MemoryRecorder, tmp_path: Path) -> None:
    assert calls_with(LocalFileSystem(basepath=str(tmp_path))) == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_results_are_kept_by_a_block_of_ones_own(recorder: MemoryRecorder) -> None:
    shelf = Shelf()
    assert calls_with(shelf) == 1
    assert len(shelf._files) == 1


def test_results_are_kept_by_a_driver_with_settings(recorder: MemoryRecorder) -> None:
    block = RemoteFileSystem(basepath="memory://results", settings={"skip_instance_cache": True})
    assert calls_with(block) == 1


def test_a_saved_block_is_named_by_its_type_and_name(
    recorder: MemoryRecorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(result_files, "_known", {})
    with backed_by(memory_backend()):
        LocalFileSystem(basepath=str(tmp_path)).save("results")
        assert calls_with("local-file-system/results") == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_a_flow_may_name_the_block_for_its_tasks(recorder: MemoryRecorder, tmp_path: Path) -> None:
    load = task(lambda: 1, name="load")
    flow(lambda: load(), name="work", result_storage=LocalFileSystem(basepath=str(tmp_path)))()
    assert len(list(tmp_path.iterdir())) == 1


def test_files_are_read_and_written_by_hand(tmp_path: Path) -> None:
    block = LocalFileSystem(basepath=str(tmp_path))
    block.write_path("a/b.txt", b"hello")
    assert block.read_path("a/b.txt") == b"hello"
    with pytest.raises(ValueError, match="leads out of"):
        block.read_path("../secret")


def test_what_is_no_storage_is_refused() -> None:
    with pytest.raises(TypeError, match="folder or a URL"):
        task(result_storage=7)(lambda: None)
    with pytest.raises(ValidationError, match="s3://"):
        RemoteFileSystem(basepath="/srv/results")
