"""Artifacts."""

import pytest

from flows import flow, task
from flows.artifacts import create_table_artifact
from flows.sdk.context import MissingContextError
from flows.sdk.memory import MemoryRecorder

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
