"""Where results are kept and in which form: serializers, folders, URLs, keys of one's own."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from flows import flow, task
from flows.sdk.memory import MemoryRecorder
from flows.sdk.result_files import FilesAt
from flows.sdk.results import FolderResults, process_results
from flows.sdk.serializers import serializer_of
from flows.sdk.signing import Signer
from flows.serializers import CompressedSerializer, JSONSerializer, PickleSerializer, Serializer


class Model(BaseModel):
    day: date
    names: list[str]


@dataclass
class Point:
    x: int


VALUES = [
    None,
    1.5,
    "ä",
    [1, {"a": None}],
    date(2030, 1, 2),
    Model(day=date(2030, 1, 2), names=["a"]),
    Point(3),
]


@pytest.mark.parametrize("value", VALUES, ids=str)
@pytest.mark.parametrize("name", ["json", "pickle", "compressed/json", "compressed/pickle"])
def test_serializers_give_back_what_they_got(name: str, value: Any) -> None:
    serializer = serializer_of(name)
    assert serializer.type == name
    assert serializer.loads(serializer.dumps(value)) == value


def test_exceptions_survive_json() -> None:
    found = JSONSerializer().loads(JSONSerializer().dumps(KeyError("a")))
    assert isinstance(found, KeyError)


def test_compression() -> None:
    small = CompressedSerializer(serializer="json", compressionlib="zlib").dumps("a" * 100_000)
    assert len(small) < 1000
    with pytest.raises(ValueError, match="compressionlib must be"):
        CompressedSerializer(compressionlib="zip")


@pytest.mark.parametrize(("given", "error"), [("yaml", ValueError), ("x/json", ValueError), (3, TypeError)])
def test_what_is_no_serializer_is_refused_at_once(given: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        task(result_serializer=given)(lambda: None)
    with pytest.raises(error):
        flow(result_serializer=given)(lambda: None)


def test_a_serializer_of_ones_own(recorder: MemoryRecorder, tmp_path: Path) -> None:
    class Upper:
        type = "upper"

        def dumps(self, obj: Any) -> bytes:
            return str(obj).upper().encode()

        def loads(self, blob: bytes) -> Any:
            return blob.decode()

    assert isinstance(Upper(), Serializer)
    calls: list[int] = []

    @task(result_storage=tmp_path, result_storage_key="word", result_serializer=Upper())
    def word() -> str:
        calls.append(1)
        return "word"

    assert [word(), word()] == ["word", "WORD"]
    assert (tmp_path / "word").read_bytes().endswith(b"upper\0WORD")


def test_storage_key_names_the_file(recorder: MemoryRecorder, tmp_path: Path) -> None:
    calls: list[int] = []

    @task(result_storage=tmp_path, result_storage_key="{flow_run.flow_name}/{parameters[day]}.pickle")
    def load(day: str, rows: int = 2) -> int:
        calls.append(1)
        return rows

    @flow(name="daily")
    def work() -> None:
        load("monday")
        load("monday", rows=3)
        load("tuesday")

    work()
    assert len(calls) == 2
    assert sorted(path.name for path in (tmp_path / "daily").iterdir()) == ["monday.pickle", "tuesday.pickle"]


def test_a_storage_key_that_cannot_be_filled_in_fails_the_task_run(recorder: MemoryRecorder) -> None:
    state = task(result_storage_key="{parameters[none]}")(lambda: None)(return_state=True)
    assert state.is_failed() and "cannot be filled in: KeyError('none')" in state.message


def test_the_storage_of_the_flow_serves_its_tasks(recorder: MemoryRecorder, tmp_path: Path) -> None:
    @task
    def one() -> int:
        return 1

    @flow(result_storage=str(tmp_path), result_serializer="json")
    def work() -> None:
        one()

    work()
    [file] = tmp_path.iterdir()
    assert file.read_bytes().endswith(b"json\0001")


def test_urls_go_through_fsspec(recorder: MemoryRecorder) -> None:
    import fsspec

    calls: list[int] = []

    @task(result_storage="memory://results", result_storage_key="one")
    def one() -> int:
        calls.append(1)
        return 1

    assert [one(), one(), len(calls)] == [1, 1, 1]
    assert fsspec.filesystem("memory").exists("/results/one")


def test_a_storage_that_fails_costs_only_the_caching(recorder: MemoryRecorder, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    @task(result_storage=tmp_path / "file", result_storage_key="one")
    def one() -> int:
        return 1

    @flow
    def work() -> int:
        return one()

    assert work() == 1
    assert any("The result is not kept" in line.message for line in recorder.logs)


@pytest.mark.parametrize("key", ["../outside", "/absolute", "a/../../b", "", "x" * 300, "nul\0"])
def test_no_key_leads_out_of_the_folder(tmp_path: Path, key: str) -> None:
    folder = FolderResults(FilesAt(str(tmp_path / "in")), process_results.signer, process_results.locks)
    folder.put(key, b"data", None, of_run=False)
    assert folder.get(key, of_run=False) == b"data"
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize("damage", [b"", b"\n", b"no date\ndata", b"\nshort"])
def test_a_file_that_is_none_of_ours_is_a_miss(
    recorder: MemoryRecorder, tmp_path: Path, damage: bytes
) -> None:
    (tmp_path / "one").write_bytes(damage)
    one = task(result_storage=tmp_path, result_storage_key="one")(lambda: 1)
    assert one() == 1


def test_signatures_hold_for_one_key_of_one_workspace() -> None:
    ours, theirs = Signer(["secret"], "ours"), Signer(["secret"], "theirs")
    signed = ours.sign("key", b"content")
    assert ours.verified("key", signed) == b"content"
    assert Signer(["new", "secret"], "ours").verified("key", signed) == b"content"
    assert theirs.verified("key", signed) is None
    assert ours.verified("other", signed) is None
    assert ours.verified("key", signed[:-1]) is None
    assert ours.verified("key", b"") is None
    with pytest.raises(ValueError, match="at least one key"):
        Signer([])


def test_pickle_is_the_default() -> None:
    assert serializer_of(None) == PickleSerializer()
