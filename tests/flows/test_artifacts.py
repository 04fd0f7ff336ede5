"""Artifacts."""

import asyncio
from collections.abc import Callable

import pytest

from flows import flow, task
from flows.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from flows.sdk.context import MissingContextError
from flows.sdk.memory import MemoryRecorder
from runs.batch import newest

ROWS = [{"year": 2012, "rain": 3.1}, {"year": 2013, "rain": 2.3}]


@pytest.mark.parametrize("table", [ROWS, {"year": [2012, 2013], "rain": [3.1, 2.3]}])
def test_a_table_of_rows_or_columns_is_stored_as_rows(recorder: MemoryRecorder, table: object) -> None:
    @task
    def publish() -> None:
        create_table_artifact(table, key="rain", description="By year")

    flow(lambda: publish(), name="work")()
    [artifact] = recorder.artifacts
    assert (artifact.type, artifact.key, artifact.description, artifact.data) == (
        "table",
        "rain",
        "By year",
        ROWS,
    )
    assert artifact.flow_run_id == recorder.flow_runs[0].id
    assert artifact.task_run_id == recorder.task_events[0].task_run_id


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        flow(lambda: create_table_artifact({"a": [1, 2], "b": [1]}), name="work")()


def test_artifacts_belong_to_a_run() -> None:
    with pytest.raises(MissingContextError, match="inside a flow or task"):
        create_table_artifact(ROWS)


def published(recorder: MemoryRecorder, call: Callable[[], object]) -> tuple[str, object]:
    """Type and data of the artifact that `call` makes."""
    flow(call, name="work")()
    [artifact] = recorder.artifacts
    return artifact.type, artifact.data


@pytest.mark.parametrize(
    ("call", "made"),
    [
        (lambda: create_markdown_artifact("# A"), ("markdown", "# A")),
        (lambda: create_link_artifact("https://a.b", "[a]"), ("markdown", "[\\[a\\]](<https://a.b>)")),
        (lambda: create_link_artifact("https://a.b"), ("markdown", "[https://a.b](<https://a.b>)")),
        (lambda: create_image_artifact("https://a.b/c.png"), ("image", "https://a.b/c.png")),
        (lambda: create_progress_artifact(50), ("progress", 50.0)),
    ],
)
def test_each_kind_of_artifact(
    recorder: MemoryRecorder, call: Callable[[], object], made: tuple[str, object]
) -> None:
    assert published(recorder, call) == made


def test_progress_moves_on(recorder: MemoryRecorder) -> None:
    @flow
    def work() -> None:
        bar = create_progress_artifact(0, key="bar", description="Rows")
        update_progress_artifact(bar, 100)

    work()

    [last] = newest(recorder.artifacts)
    assert (last.data, last.key, last.description) == (100.0, "bar", "Rows")


def test_progress_is_a_percentage() -> None:
    with pytest.raises(ValueError, match="from 0 to 100, not 101"):
        flow(lambda: create_progress_artifact(101), name="work")()


def test_keys_follow_a_rule() -> None:
    with pytest.raises(ValueError, match="lower-case"):
        flow(lambda: create_markdown_artifact("x", key="My Key"), name="work")()


def test_async_flows_await_artifacts(recorder: MemoryRecorder) -> None:
    @flow
    async def work() -> None:
        await create_table_artifact(ROWS)

    asyncio.run(work())

    assert recorder.artifacts[0].data == ROWS
