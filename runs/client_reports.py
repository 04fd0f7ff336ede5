"""What Prefect's clients report of the runs that they execute: states of task runs, log lines, heartbeats.

Such runs have no lease and no attempt of Portal's, so there is nothing to fence with: a client may only
touch runs of its own workspace that no agent owns. Reports come out of order and more than once: a state is
stored once, by its id, and a task run shows the state with the newest timestamp.
"""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from flows.catalog.json_text import json_text
from flows.sdk.recorder import LogLine, NewArtifact
from runs import announce
from runs.batch import record_artifacts, record_lines
from runs.by_prefect import BY_PREFECT
from runs.session import Transaction
from runs.storable import clean

logger = logging.getLogger(__name__)

EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
MICROSECOND = timedelta(microseconds=1)

# What a client says of a task run besides, and hears again.
DETAILS = (
    "task_version", "empirical_policy", "labels", "flow_run_run_count", "expected_start_time",
    "next_scheduled_start_time", "cache_key", "cache_expiration",
)  # fmt: skip

# Locked from the newest on: a subflow comes before its caller, as when it enters a state and its stand-in
# follows. The lock also lets one reporter of a run at a time look for task runs by their keys, so that two
# cannot both find none.
TOUCH = f"""
WITH mine AS (
    SELECT r.id FROM runs_flowrun r LEFT JOIN runs_flowrun root ON root.id = r.root_run_id
    WHERE r.id = ANY(%s) AND r.workspace_id = %s AND {BY_PREFECT}
    ORDER BY r.id DESC FOR NO KEY UPDATE OF r
)
UPDATE runs_flowrun r SET version = version + 1 FROM mine WHERE r.id = mine.id
RETURNING r.id, r.workspace_id, r.version, r.state_type, r.state_name
"""

# What is there already under these ids, or under these keys of a flow run. Rows that agents write have an
# attempt, those of Portal's background tasks an errand.
KNOWN = """
WITH given AS (
    SELECT DISTINCT * FROM json_to_recordset(%s::json) AS g(
        task_run_id uuid, flow_run_id uuid, task_key text, dynamic_key text)
), known AS (
    SELECT t.id, t.flow_run_id, t.workspace_id, t.task_key, t.dynamic_key, t.attempt
    FROM runs_taskrun t WHERE t.id IN (SELECT task_run_id FROM given)
    UNION
    SELECT t.id, t.flow_run_id, t.workspace_id, t.task_key, t.dynamic_key, t.attempt
    FROM given g JOIN runs_taskrun t ON t.flow_run_id = g.flow_run_id
        AND t.task_key = g.task_key AND t.dynamic_key = g.dynamic_key AND t.attempt = 0
)
SELECT id, flow_run_id, workspace_id, task_key, dynamic_key,
       attempt = 0 AND NOT EXISTS (SELECT FROM runs_errand e WHERE e.id = known.id)
FROM known
"""

STATES = """
WITH event AS (
    SELECT * FROM json_to_recordset(%s::json) AS e(
        task_run_id uuid, flow_run_id uuid, workspace_id uuid, task_key text, dynamic_key text, name text,
        tags text[], task_inputs jsonb, state_id uuid, type text, state_name text, message text,
        timestamp timestamptz, sequence bigint, run_count int, start_time timestamptz,
        end_time timestamptz, total_run_time float8, client_details jsonb, version bigint)
), history AS (
    INSERT INTO runs_taskrunstate
        (id, task_run_id, flow_run_id, type, name, message, timestamp, attempt, sequence)
    SELECT state_id, task_run_id, flow_run_id, type, state_name, message, timestamp, 0, sequence FROM event
    ON CONFLICT (id) DO NOTHING
), latest AS (
    SELECT DISTINCT ON (task_run_id) *, min(timestamp) OVER (PARTITION BY task_run_id) AS created
    FROM event ORDER BY task_run_id, sequence DESC
)
INSERT INTO runs_taskrun AS t
    (id, flow_run_id, workspace_id, task_key, dynamic_key, name, tags, task_inputs, state_id, state_type,
     state_name, state_message, state_timestamp, start_time, end_time, total_run_time, run_count, attempt,
     sequence, version, created, client_details)
SELECT task_run_id, flow_run_id, workspace_id, task_key, dynamic_key, name, tags, task_inputs, state_id,
       type, state_name, message, timestamp, start_time, end_time, total_run_time, run_count, 0, sequence,
       version, created, client_details
FROM latest
ON CONFLICT (id) DO UPDATE SET
    name = excluded.name, task_inputs = excluded.task_inputs, state_id = excluded.state_id,
    state_type = excluded.state_type, state_name = excluded.state_name,
    state_message = excluded.state_message, state_timestamp = excluded.state_timestamp,
    start_time = excluded.start_time, end_time = excluded.end_time,
    total_run_time = excluded.total_run_time, run_count = excluded.run_count,
    sequence = excluded.sequence, version = excluded.version, client_details = excluded.client_details
WHERE t.attempt = 0 AND t.sequence < excluded.sequence
"""

HEARTBEATS = """
UPDATE runs_flowrun SET last_heartbeat = clock_timestamp()
WHERE id = ANY(%s) AND workspace_id = %s AND lease_expires IS NULL
"""

# What no task outside of flows is: a task run of somebody else, or a flow run, whose log its lines would
# get into.
NO_TASKS_OF_OURS = """
SELECT id FROM runs_taskrun WHERE id = ANY(%s) AND workspace_id IS DISTINCT FROM %s
UNION ALL
SELECT id FROM runs_flowrun WHERE id = ANY(%s)
"""


@dataclass(frozen=True, slots=True)
class ClientTaskState:
    """A task run entered a state. `flow_run_id` None: a task called outside of flows.

    `details`: `state_details` and `data` of the state, and what `DETAILS` names.
    """

    id: UUID
    task_run_id: UUID
    flow_run_id: UUID | None
    task_key: str
    dynamic_key: str
    name: str
    type: str
    state_name: str
    message: str
    timestamp: datetime
    tags: Sequence[str]
    task_inputs: Mapping[str, Any]
    run_count: int
    start_time: datetime | None
    end_time: datetime | None
    total_run_time: float
    details: Mapping[str, Any]

    @property
    def key(self) -> tuple[UUID, str, str] | None:
        """What names the call in its flow run, whichever process tries it."""
        return (self.flow_run_id, self.task_key, self.dynamic_key) if self.flow_run_id else None


def record_task_states(
    tx: Transaction, workspace_id: UUID, states: Sequence[ClientTaskState]
) -> dict[UUID, UUID]:
    """Store states of task runs; return the ids of the task runs under which they stand, by those given.

    A flow run's task run that is known under its keys keeps its id. States of runs that this workspace may
    not touch are left out.
    """
    versions = _touch(tx, workspace_id, {state.flow_run_id for state in states if state.flow_run_id})
    allowed = [state for state in states if state.flow_run_id is None or state.flow_run_id in versions]
    stored_as = _stored_as(tx, workspace_id, allowed)
    rows = [
        _row(state, stored_as[state.task_run_id], workspace_id, versions)
        for state in sorted(allowed, key=lambda state: state.timestamp)
        if state.task_run_id in stored_as
    ]
    if len(rows) < len(states):
        logger.warning("%d task states of runs that are not theirs were left out.", len(states) - len(rows))
    if rows:
        tx.execute(STATES, [json_text(rows, default=str)])
    return stored_as


def add_task_run(tx: Transaction, workspace_id: UUID, state: ClientTaskState) -> tuple[UUID, bool] | None:
    """Make a task run, and say its id and whether it is new: one that is known under its keys stays as it is.

    None if this workspace may not touch its flow run, or its id is somebody else's.
    """
    versions = _touch(tx, workspace_id, {state.flow_run_id} if state.flow_run_id else ())
    if state.flow_run_id and not versions:
        return None
    id = _stored_as(tx, workspace_id, [state]).get(state.task_run_id)
    if id is None or tx.execute("SELECT 1 FROM runs_taskrun WHERE id = %s", [id]):
        return (id, False) if id else None
    tx.execute(STATES, [json_text([_row(state, id, workspace_id, versions)], default=str)])
    return id, True


def record_client_artifact(tx: Transaction, workspace_id: UUID, artifact: NewArtifact) -> bool:
    """Store an artifact, or change it; False if this workspace may not touch its run."""
    if not _touch(tx, workspace_id, {artifact.flow_run_id}):
        return False
    record_artifacts(tx, workspace_id, [artifact])
    return True


def record_client_lines(tx: Transaction, workspace_id: UUID, lines: Iterable[tuple[UUID, LogLine]]) -> int:
    """Store log lines; return how many. Those of runs that this workspace may not touch are left out.

    A line of a task outside of flows has the task run's id in both places.
    """
    given = list(lines)
    alone = {line.task_run_id for _, line in given if line.flow_run_id == line.task_run_id}
    versions = _touch(tx, workspace_id, {line.flow_run_id for _, line in given} - alone)
    known = list(alone)
    foreign = {row[0] for row in tx.execute(NO_TASKS_OF_OURS, [known, workspace_id, known])}
    allowed = (versions.keys() | alone) - foreign
    kept = [(id, line) for id, line in given if line.flow_run_id in allowed]
    if len(kept) < len(given):
        logger.warning("%d log lines of runs that are not theirs were left out.", len(given) - len(kept))
    if kept:
        record_lines(tx, kept)
    return len(kept)


def note_heartbeats(tx: Transaction, workspace_id: UUID, run_ids: Collection[UUID]) -> None:
    """Somebody executes these runs at this moment."""
    if run_ids:
        tx.execute(HEARTBEATS, [list(run_ids), workspace_id])


def _touch(tx: Transaction, workspace_id: UUID, run_ids: Collection[UUID]) -> dict[UUID, int]:
    """The new versions of those of the runs that this workspace's clients may touch; pages hear of them."""
    if not run_ids:
        return {}
    changed = [announce.RunChanged(*row) for row in tx.execute(TOUCH, [sorted(run_ids), workspace_id])]
    for each in changed:
        tx.on_commit(partial(announce.publish, each))
    return {each.run_id: each.version for each in changed}


def _stored_as(tx: Transaction, workspace_id: UUID, states: Sequence[ClientTaskState]) -> dict[UUID, UUID]:
    """Under which id each task run stands; none for one that is somebody else's."""
    if not states:
        return {}
    given = [
        {
            "task_run_id": state.task_run_id,
            "flow_run_id": state.flow_run_id,
            "task_key": state.task_key,
            "dynamic_key": state.dynamic_key,
        }
        for state in states
    ]
    owners: dict[UUID, tuple[UUID | None, UUID | None]] = {}
    by_key: dict[tuple[UUID, str, str], UUID] = {}
    known = tx.execute(KNOWN, [json_text(given, default=str)])
    for id, run_id, its_workspace, task_key, dynamic_key, is_free in known:
        owners[id] = (run_id, its_workspace) if is_free else (None, None)
        if run_id and is_free:
            by_key[run_id, task_key, dynamic_key] = id
    found: dict[UUID, UUID] = {}
    for state in states:
        here = (state.flow_run_id, None if state.flow_run_id else workspace_id)
        if owners.get(state.task_run_id, here) == here:
            id = by_key.setdefault(state.key, state.task_run_id) if state.key else state.task_run_id
            found[state.task_run_id] = id
    return found


def _row(
    state: ClientTaskState, id: UUID, workspace_id: UUID, versions: Mapping[UUID, int]
) -> dict[str, Any]:
    run_id = state.flow_run_id
    return {
        "task_run_id": id,
        "flow_run_id": run_id,
        "workspace_id": None if run_id else workspace_id,
        "task_key": state.task_key,
        "dynamic_key": state.dynamic_key,
        "name": clean(state.name)[:200],
        "tags": list(state.tags),
        "task_inputs": state.task_inputs,
        "state_id": state.id,
        "type": state.type,
        "state_name": state.state_name,
        "message": clean(state.message),
        "timestamp": state.timestamp,
        "sequence": (state.timestamp - EPOCH) // MICROSECOND,
        "run_count": state.run_count,
        "start_time": state.start_time,
        "end_time": state.end_time,
        "total_run_time": state.total_run_time,
        "client_details": state.details,
        "version": versions[run_id] if run_id else 0,
    }
