"""What a running process reports besides flow-run states: subflows, task states, logs, artifacts, results.

A batch is one transaction of at most eight statements, however many rows it has. Everything in it is
idempotent, so that a batch whose answer got lost may simply be sent again.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import orjson

from flows.catalog.json_text import json_text
from flows.sdk.recorder import Aborted, LogLine, NewArtifact, TaskRunEvent
from runs import announce
from runs.results import NewResult, insert_results
from runs.session import Transaction
from runs.storable import MOST_NAME_CHARACTERS, clean, clean_tags
from runs.subflow import NewSubflow, create_subflow_runs

# One statement locks the root run, checks the attempt and bumps the version that pages watch. An attempt
# whose run has ended may still write logs and artifacts (its hooks do), but no task states.
FENCE = """
UPDATE runs_flowrun SET version = version + 1
WHERE id = %s AND attempt = %s AND (lease_expires IS NOT NULL OR (end_time IS NOT NULL AND %s))
RETURNING version, state_type, state_name, workspace_id
"""

BUMP_SUBFLOWS = """
UPDATE runs_flowrun SET version = version + 1 WHERE id = ANY(%s) AND root_run_id = %s
"""

TASK_STATES = """
WITH event AS (
    SELECT * FROM json_to_recordset(%s::json) AS e(
        task_run_id uuid, flow_run_id uuid, task_key text, dynamic_key text, name text, tags text[],
        task_inputs jsonb, state_id uuid, type text, state_name text, message text,
        timestamp timestamptz, sequence bigint, run_count int, start_time timestamptz,
        end_time timestamptz, total_run_time float8)
), history AS (
    INSERT INTO runs_taskrunstate
        (id, task_run_id, flow_run_id, type, name, message, timestamp, attempt, sequence)
    SELECT state_id, task_run_id, flow_run_id, type, state_name, message, timestamp, %s, sequence
    FROM event
    ON CONFLICT (id) DO NOTHING
), latest AS (
    SELECT DISTINCT ON (task_run_id) *, min(timestamp) OVER (PARTITION BY task_run_id) AS created
    FROM event ORDER BY task_run_id, sequence DESC
)
INSERT INTO runs_taskrun AS t
    (id, flow_run_id, task_key, dynamic_key, name, tags, task_inputs, state_id, state_type, state_name,
     state_message, state_timestamp, start_time, end_time, total_run_time, run_count, attempt, sequence,
     version, created)
SELECT task_run_id, flow_run_id, task_key, dynamic_key, name, tags, task_inputs, state_id, type,
       state_name, message, timestamp, start_time, end_time, total_run_time, run_count, %s, sequence,
       %s, created
FROM latest
ON CONFLICT (id) DO UPDATE SET
    name = excluded.name, task_inputs = excluded.task_inputs, state_id = excluded.state_id,
    state_type = excluded.state_type, state_name = excluded.state_name,
    state_message = excluded.state_message, state_timestamp = excluded.state_timestamp,
    start_time = excluded.start_time, end_time = excluded.end_time,
    total_run_time = excluded.total_run_time, run_count = excluded.run_count,
    attempt = excluded.attempt, sequence = excluded.sequence, version = excluded.version
WHERE (t.attempt, t.sequence) < (excluded.attempt, excluded.sequence)
"""

LOGS = """
INSERT INTO runs_log (id, timestamp, flow_run_id, task_run_id, level, name, message)
SELECT id, timestamp, flow_run_id, task_run_id, level, name, message
FROM json_to_recordset(%s::json) AS l(
    id uuid, timestamp timestamptz, flow_run_id uuid, task_run_id uuid, level smallint, name text,
    message text)
ON CONFLICT DO NOTHING
"""

ARTIFACTS = """
INSERT INTO runs_artifact
    (id, workspace_id, flow_run_id, task_run_id, type, key, description, data, created)
SELECT a.id, %s, a.flow_run_id, a.task_run_id, a.type, a.key, a.description, a.data, now()
FROM json_to_recordset(%s::json) AS a(
    id uuid, flow_run_id uuid, task_run_id uuid, type text, key text, description text, data json)
ON CONFLICT (id) DO UPDATE SET
    data = excluded.data, key = coalesce(excluded.key, runs_artifact.key),
    description = coalesce(nullif(excluded.description, ''), runs_artifact.description)
WHERE runs_artifact.flow_run_id = excluded.flow_run_id
"""


@dataclass(slots=True)
class Batch:
    """What is to be written together. Log lines carry the ids that make them idempotent."""

    events: list[TaskRunEvent] = field(default_factory=list)
    logs: list[tuple[UUID, LogLine]] = field(default_factory=list)
    artifacts: list[NewArtifact] = field(default_factory=list)
    results: list[NewResult] = field(default_factory=list)
    subflows: list[NewSubflow] = field(default_factory=list)

    def __len__(self) -> int:
        others = len(self.artifacts) + len(self.results) + len(self.subflows)
        return len(self.events) + len(self.logs) + others


@dataclass(frozen=True, slots=True)
class Written:
    """The root run after a batch."""

    version: int
    state_type: str
    state_name: str
    workspace_id: UUID


def record_batch(tx: Transaction, root_run_id: UUID, attempt: int, batch: Batch) -> Written:
    """Write a batch of the process that executes `root_run_id` as attempt `attempt`.

    Pages hear of it once it is durable. Raises Aborted, and writes nothing, when that attempt no longer
    owns the run.
    """
    rows = tx.execute(FENCE, [root_run_id, attempt, not (batch.events or batch.subflows)])
    if not rows:
        raise Aborted(f"attempt {attempt} no longer owns flow run {root_run_id}")
    written = Written(*rows[0])
    if batch.subflows:
        create_subflow_runs(tx, root_run_id, written.workspace_id, batch.subflows)
    changed = {event.flow_run_id for event in batch.events} - {root_run_id}
    if changed:
        tx.execute(BUMP_SUBFLOWS, [sorted(changed), root_run_id])
    if batch.events:
        events = sorted(batch.events, key=lambda event: event.task_run_id)
        tx.execute(TASK_STATES, [_json(map(_event_row, events)), attempt, attempt, written.version])
    if batch.logs:
        record_lines(tx, batch.logs)
    if batch.artifacts:
        record_artifacts(tx, written.workspace_id, batch.artifacts)
    if batch.results:
        insert_results(tx, written.workspace_id, batch.results)
    message = announce.RunChanged(
        root_run_id, written.workspace_id, written.version, written.state_type, written.state_name
    )
    tx.on_commit(lambda: announce.publish(message))
    return written


def record_lines(tx: Transaction, lines: Iterable[tuple[UUID, LogLine]]) -> None:
    """Write log lines; one whose id and time are there already is not written again."""
    tx.execute(LOGS, [_json(_log_row(id, line) for id, line in lines)])


def record_artifacts(tx: Transaction, workspace_id: UUID, artifacts: Iterable[NewArtifact]) -> None:
    """Write artifacts; those that are there already are changed."""
    tx.execute(ARTIFACTS, [workspace_id, _json(map(_artifact_row, newest(artifacts)))])


def _event_row(event: TaskRunEvent) -> dict[str, Any]:
    state = event.state
    return {
        "task_run_id": event.task_run_id,
        "flow_run_id": event.flow_run_id,
        "task_key": event.task_key,
        "dynamic_key": event.dynamic_key,
        "name": clean(event.name)[:MOST_NAME_CHARACTERS],
        "tags": clean_tags(event.tags),
        "task_inputs": event.task_inputs,
        "state_id": state.id,
        "type": state.type.value,
        "state_name": state.name,
        "message": clean(state.message),
        "timestamp": state.timestamp,
        "sequence": event.sequence,
        "run_count": event.run_count,
        "start_time": event.start_time,
        "end_time": event.end_time,
        "total_run_time": event.total_run_time,
    }


def _log_row(id: UUID, line: LogLine) -> dict[str, Any]:
    return {
        "id": id,
        "timestamp": line.timestamp,
        "flow_run_id": line.flow_run_id,
        "task_run_id": line.task_run_id,
        "level": line.level,
        "name": clean(line.logger)[:200],
        "message": clean(line.message),
    }


def newest(artifacts: Iterable[NewArtifact]) -> list[NewArtifact]:
    """Each artifact once, as it is after its updates: one statement cannot write a row twice."""
    by_id: dict[UUID, NewArtifact] = {}
    for artifact in artifacts:
        before = by_id.get(artifact.id, artifact)
        by_id[artifact.id] = replace(
            artifact,
            key=artifact.key or before.key,
            description=artifact.description or before.description,
            task_run_id=before.task_run_id,
        )
    return list(by_id.values())


def _artifact_row(artifact: NewArtifact) -> dict[str, Any]:
    return {
        "id": artifact.id,
        "flow_run_id": artifact.flow_run_id,
        "task_run_id": artifact.task_run_id,
        "type": artifact.type,
        "key": artifact.key,
        "description": clean(artifact.description),
        "data": artifact.data,
    }


def _json(rows: Iterable[dict[str, Any]]) -> str:
    as_list: Sequence[dict[str, Any]] = list(rows)
    return json_text(as_list, orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY, default=str)
