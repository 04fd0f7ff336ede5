"""Creating flow runs: the row, the first entry of its history, and a ring once both are durable."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self
from uuid import UUID

from flows.catalog.json_text import json_text
from flows.models import Deployment
from flows.sdk.ids import uuid7
from flows.sdk.names import random_name
from flows.sdk.states import Scheduled, State, StateType
from runs import announce
from runs.acting import acting
from runs.collisions import settle_in
from runs.models import FlowRun
from runs.session import DjangoSession, Session, Transaction

# More rings or live messages than this per call help nobody: the sweeper rings for the rest.
MOST_HINTS = 50

INSERT = """
WITH given AS (
    SELECT * FROM json_to_recordset(%s::json) AS g(
        id uuid, workspace_id uuid, flow_id uuid, deployment_id uuid, work_queue_id uuid,
        schedule_id uuid, slot timestamptz, name text, parameters jsonb, job_variables jsonb, tags text[],
        idempotency_key text, created_by jsonb, priority smallint, expected_start_time timestamptz,
        root_run_id uuid, parent_task_run_id uuid, backfill_id uuid, rerun_of_id uuid,
        result_scope uuid, labels jsonb, state_id uuid, state_type text, state_name text,
        state_message text, state_timestamp timestamptz, state_details jsonb)
), made AS (
    INSERT INTO runs_flowrun
        (id, workspace_id, flow_id, deployment_id, work_queue_id, schedule_id, slot, name, parameters,
         job_variables, tags, idempotency_key, created_by, priority, expected_start_time, root_run_id,
         parent_task_run_id, backfill_id, rerun_of_id, result_scope, labels,
         state_id, state_type, state_name, state_message, state_timestamp,
         total_run_time, run_count, attempt, infrastructure_pid, version, created, updated)
    SELECT id, workspace_id, flow_id, deployment_id, work_queue_id, schedule_id, slot, name, parameters,
         job_variables, tags, idempotency_key, created_by, priority, coalesce(expected_start_time, now()),
         root_run_id, parent_task_run_id, backfill_id, rerun_of_id, result_scope, labels,
         state_id, state_type, state_name, state_message, least(state_timestamp, clock_timestamp()),
         0, 0, 0, '', 1, now(), now()
    FROM given
    ON CONFLICT DO NOTHING
    RETURNING id, state_id, deployment_id, expected_start_time <= now() AS due
), history AS (
    INSERT INTO runs_flowrunstate
        (id, flow_run_id, type, name, message, timestamp, attempt, state_details)
    SELECT g.state_id, g.id, g.state_type, g.state_name, g.state_message,
           least(g.state_timestamp, clock_timestamp()), 0, g.state_details
    FROM given g JOIN made m ON m.id = g.id
)
SELECT m.id, m.due, CASE WHEN m.due AND d.collision_strategy <> 'ENQUEUE' THEN d.id END
FROM made m LEFT JOIN flows_deployment d ON d.id = m.deployment_id AND d.concurrency_limit IS NOT NULL
"""


@dataclass(frozen=True, slots=True)
class NewRun:
    """A flow run to be created. `scheduled_time` None means now, by the database clock."""

    workspace_id: UUID
    flow_id: UUID
    name: str
    parameters: dict[str, Any] = field(default_factory=dict)
    job_variables: dict[str, Any] = field(default_factory=dict)
    deployment_id: UUID | None = None
    work_queue_id: UUID | None = None
    schedule_id: UUID | None = None
    slot: datetime | None = None
    scheduled_time: datetime | None = None
    tags: tuple[str, ...] = ()
    idempotency_key: str | None = None
    created_by: dict[str, Any] | None = None
    priority: int = 0
    root_run_id: UUID | None = None
    parent_task_run_id: UUID | None = None
    backfill_id: UUID | None = None
    rerun_of_id: UUID | None = None
    result_scope: UUID | None = None
    labels: dict[str, Any] | None = None
    state: State | None = None
    id: UUID = field(default_factory=uuid7)

    @classmethod
    def of(
        cls,
        deployment: Deployment,
        *,
        parameters: dict[str, Any] | None = None,
        name: str | None = None,
        tags: Iterable[str] = (),
        labels: dict[str, Any] | None = None,
        **rest: Any,
    ) -> Self:
        """A run of `deployment`: `parameters` and `labels` override its own, `tags` add to its tags."""
        return cls(
            workspace_id=deployment.workspace_id,
            flow_id=deployment.flow_id,
            deployment_id=deployment.id,
            work_queue_id=deployment.work_queue_id,
            name=name or random_name(),
            parameters={**deployment.parameters, **(parameters or {})},
            tags=tuple(dict.fromkeys([*deployment.tags, *tags])),
            labels=_labels(deployment, labels or {}),
            **rest,
        )

    def first_state(self) -> State:
        return self.state or Scheduled(self.scheduled_time)

    def as_row(self) -> dict[str, Any]:
        """The row as JSON, for one statement that inserts many."""
        state = self.first_state()
        row = {name: getattr(self, name) for name in _COLUMNS}
        row.update(
            expected_start_time=self.scheduled_time,
            state_id=state.id,
            state_type=state.type.value,
            state_name=state.name,
            state_message=state.message,
            state_timestamp=state.timestamp,
            state_details=self._signed(state.details),
        )
        return row

    def _signed(self, details: dict[str, Any]) -> dict[str, Any]:
        """With who acts here, unless the run itself says who made it."""
        who = None if self.created_by else acting()
        return {**details, "actor": who} if who else details


_COLUMNS = (
    "id", "workspace_id", "flow_id", "deployment_id", "work_queue_id", "schedule_id", "slot", "name",
    "parameters", "job_variables", "tags", "idempotency_key", "created_by", "priority", "root_run_id",
    "parent_task_run_id", "backfill_id", "rerun_of_id", "result_scope", "labels",
)  # fmt: skip


def _labels(deployment: Deployment, given: dict[str, Any]) -> dict[str, Any] | None:
    """Only Prefect's clients give and read labels: others cost nothing."""
    if not (deployment.labels or given):
        return None
    return {**deployment.labels, "prefect.deployment.id": str(deployment.id), **given}


def insert_runs(session: Session, news: Sequence[NewRun]) -> list[UUID]:
    """Insert the runs that do not exist yet and return their ids.

    A run whose (schedule, slot) or (deployment, idempotency_key) exists is left out: whoever came
    first made it. Rings for what is due once the transaction is durable.
    """
    if not news:
        return []
    with session.transaction() as tx:
        return insert_runs_in(tx, news)


def insert_runs_in(tx: Transaction, news: Sequence[NewRun]) -> list[UUID]:
    """`insert_runs` within a transaction that the caller has open."""
    rows = json_text([new.as_row() for new in news], default=str)
    inserted = tx.execute(INSERT, [rows])
    made = {row[0]: row[1] for row in inserted}
    tx.on_commit(lambda: _announce([(new, made[new.id]) for new in news if new.id in made]))
    for deployment_id in sorted({row[2] for row in inserted if row[2]}):
        settle_in(tx, deployment_id)
    return [new.id for new in news if new.id in made]


def _announce(made: list[tuple[NewRun, bool]]) -> None:
    for new, _ in made[:MOST_HINTS]:
        state = new.first_state()
        announce.publish(announce.RunChanged(new.id, new.workspace_id, 1, state.type.value, state.name))
    rings = Counter(
        new.work_queue_id
        for new, due in made
        if due and new.work_queue_id and new.first_state().type is StateType.SCHEDULED
    )
    for queue_id, count in rings.items():
        for _ in range(min(count, MOST_HINTS)):
            announce.ring(queue_id)


def create_flow_runs(news: Sequence[NewRun]) -> list[FlowRun]:
    """Create many runs at once; return those that did not exist before, in the given order."""
    made = FlowRun.objects.in_bulk(insert_runs(DjangoSession(), news))
    return [made[new.id] for new in news if new.id in made]


def create_flow_run(
    deployment: Deployment,
    *,
    parameters: dict[str, Any] | None = None,
    name: str | None = None,
    scheduled_time: datetime | None = None,
    tags: Iterable[str] = (),
    idempotency_key: str | None = None,
    created_by: dict[str, Any] | None = None,
    priority: int = 0,
) -> FlowRun:
    """Create a run of `deployment`, due at `scheduled_time` (aware; None: now).

    With an `idempotency_key` that this deployment has seen, the run that it made then is returned.
    Parameters are taken as they are: the faces validate them against the deployment's schema first.
    """
    new = NewRun.of(
        deployment,
        parameters=parameters,
        name=name,
        tags=tags,
        scheduled_time=scheduled_time.astimezone(UTC) if scheduled_time else None,
        idempotency_key=idempotency_key,
        created_by=created_by,
        priority=priority,
    )
    made = insert_runs(DjangoSession(), [new])
    if made:
        return FlowRun.objects.get(id=made[0])
    return FlowRun.objects.get(deployment=deployment, idempotency_key=idempotency_key)
