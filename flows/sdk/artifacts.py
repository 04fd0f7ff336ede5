"""Artifacts: results for people to look at, made from inside a run."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from flows.sdk.context import MissingContextError, current_flow, current_task
from flows.sdk.ids import uuid7
from flows.sdk.parameters import as_json
from flows.sdk.recorder import NewArtifact

Table = Sequence[Mapping[str, Any]] | Mapping[str, Sequence[Any]] | Sequence[Sequence[Any]]


def create_table_artifact(table: Table, key: str | None = None, description: str = "") -> UUID:
    """Publish a table with the current run, and return its id.

    `table` is a list of rows (dicts or sequences), or a dict of columns. Raises ValueError for columns
    of different lengths and MissingContextError outside flows.
    """
    flow, task = current_flow.get(), current_task.get()
    if flow is None:
        raise MissingContextError("Artifacts belong to a run: create them inside a flow or task.")
    artifact = NewArtifact(
        id=uuid7(),
        flow_run_id=flow.run.id,
        task_run_id=task.id if task else None,
        type="table",
        key=key,
        description=description,
        data=as_json(_rows(table)),
    )
    flow.recorder.artifact(artifact)
    return artifact.id


def _rows(table: Table) -> list[dict[str, Any]]:
    if isinstance(table, Mapping):
        return [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
    return [_row(row) for row in table]


def _row(row: Mapping[str, Any] | Sequence[Any]) -> dict[str, Any]:
    if isinstance(row, Mapping):
        return {str(name): value for name, value in row.items()}
    return {str(number): value for number, value in enumerate(row)}
