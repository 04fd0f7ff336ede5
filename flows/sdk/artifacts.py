"""Artifacts: results for people to look at, made from inside a run. In async code the calls are awaited."""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from flows.sdk.calling import Ask, either
from flows.sdk.context import FlowRunContext, MissingContextError, current_flow, current_task
from flows.sdk.ids import uuid7
from flows.sdk.parameters import as_json
from flows.sdk.recorder import NewArtifact
from flows.sdk.steps import Steps, drive_async

Table = Sequence[Mapping[str, Any]] | Mapping[str, Sequence[Any]] | Sequence[Sequence[Any]]

KEY_PATTERN = r"\A[a-z0-9]+(-[a-z0-9]+)*\Z"


def create_table_artifact(table: Table, key: str | None = None, description: str | None = None) -> Any:
    """Publish a table with the current run, and return its id (a UUID).

    `table` is a list of rows (dicts or sequences), or a dict of columns. Raises ValueError for columns
    of different lengths and MissingContextError outside flows, as all functions here do.
    """
    return either(_table(table, key, description))


async def acreate_table_artifact(
    table: Table, key: str | None = None, description: str | None = None
) -> UUID:
    """As `create_table_artifact`."""
    return await drive_async(_table(table, key, description))


def create_markdown_artifact(markdown: str, key: str | None = None, description: str | None = None) -> Any:
    """Publish a text in Markdown; HTML in it is shown as text."""
    return either(_publish("markdown", markdown, key, description))


async def acreate_markdown_artifact(
    markdown: str, key: str | None = None, description: str | None = None
) -> UUID:
    """As `create_markdown_artifact`."""
    return await drive_async(_publish("markdown", markdown, key, description))


def create_link_artifact(
    link: str, link_text: str | None = None, key: str | None = None, description: str | None = None
) -> Any:
    """Publish a link, called `link_text` or by its own address."""
    return either(_link(link, link_text, key, description))


async def acreate_link_artifact(
    link: str, link_text: str | None = None, key: str | None = None, description: str | None = None
) -> UUID:
    """As `create_link_artifact`."""
    return await drive_async(_link(link, link_text, key, description))


def create_image_artifact(image_url: str, key: str | None = None, description: str | None = None) -> Any:
    """Publish an image by its URL."""
    return either(_publish("image", image_url, key, description))


async def acreate_image_artifact(
    image_url: str, key: str | None = None, description: str | None = None
) -> UUID:
    """As `create_image_artifact`."""
    return await drive_async(_publish("image", image_url, key, description))


def create_progress_artifact(progress: float, key: str | None = None, description: str | None = None) -> Any:
    """Publish how far something is, in percent; `update_progress_artifact` takes the id that this returns.

    Raises ValueError for a number outside 0 to 100.
    """
    return either(_progress(progress, key, description))


async def acreate_progress_artifact(
    progress: float, key: str | None = None, description: str | None = None
) -> UUID:
    """As `create_progress_artifact`."""
    return await drive_async(_progress(progress, key, description))


def update_progress_artifact(artifact_id: UUID, progress: float, description: str | None = None) -> Any:
    """Move a progress artifact of this run, and perhaps describe it anew."""
    return either(_progress(progress, None, description, artifact_id))


async def aupdate_progress_artifact(
    artifact_id: UUID, progress: float, description: str | None = None
) -> UUID:
    """As `update_progress_artifact`."""
    return await drive_async(_progress(progress, None, description, artifact_id))


def _table(table: Table, key: str | None, description: str | None) -> Steps[UUID]:
    return (yield from _publish("table", as_json(_rows(table)), key, description))


def _link(link: str, link_text: str | None, key: str | None, description: str | None) -> Steps[UUID]:
    text = re.sub(r"([\\\[\]])", r"\\\1", link_text or link)
    return (yield from _publish("markdown", f"[{text}](<{link}>)", key, description))


def _progress(
    progress: float, key: str | None, description: str | None, id: UUID | None = None
) -> Steps[UUID]:
    return (yield from _publish("progress", _percent(progress), key, description, id))


def _publish(
    type: str, data: Any, key: str | None, description: str | None, id: UUID | None = None
) -> Steps[UUID]:
    flow, task = _surrounding(), current_task.get()
    if key is not None and not re.match(KEY_PATTERN, key):
        raise ValueError(
            f"{key!r} cannot be the key of an artifact: use lower-case letters, digits and dashes."
        )
    artifact = NewArtifact(
        id=id or uuid7(),
        flow_run_id=flow.run.id,
        task_run_id=task.id if task else None,
        type=type,
        key=key,
        description=description or "",
        data=data,
    )
    yield Ask(flow.recorder.artifact, artifact)  # may block while the recorder's queue is full
    return artifact.id


def _surrounding() -> FlowRunContext:
    flow = current_flow.get()
    if flow is None:
        raise MissingContextError("Artifacts belong to a run: create them inside a flow or task.")
    return flow


def _percent(progress: float) -> float:
    if not 0 <= progress <= 100:
        raise ValueError(f"Progress is a number from 0 to 100, not {progress}.")
    return float(progress)


def _rows(table: Table) -> list[dict[str, Any]]:
    if isinstance(table, Mapping):
        return [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
    return [_row(row) for row in table]


def _row(row: Mapping[str, Any] | Sequence[Any]) -> dict[str, Any]:
    if isinstance(row, Mapping):
        return {str(name): value for name, value in row.items()}
    return {str(number): value for number, value in enumerate(row)}
