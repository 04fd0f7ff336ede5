"""The backend of an agent's process: what its run asks of PostgreSQL, limited to its workspace."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

import orjson
from psycopg.types.json import Jsonb

from flows.catalog.vault import seal, unseal
from flows.sdk.backend import AlreadyThereError, Backend, SentInput, StoredVariable
from flows.sdk.ids import uuid7
from flows.sdk.portal import Portal
from flows.sdk.recorder import FlowRunInfo, Status, Verdict
from flows.sdk.results import key_hash
from flows.sdk.states import State, StateType
from runs.inputs import list_inputs, put_input, read_input
from runs.results import find_result, signer_of
from runs.resume import resume_in
from runs.session import Session, Transaction, persistently
from runs.transition import transition_in

Result = TypeVar("Result")

IN_WORKSPACE = "SELECT 1 FROM runs_flowrun WHERE id = %s AND workspace_id = %s"
STATE = """
SELECT state_type, state_name, state_message, state_timestamp, state_id
FROM runs_flowrun WHERE id = %s AND workspace_id = %s
"""
VARIABLE = "SELECT name, value, tags FROM flows_variable WHERE workspace_id = %s AND name = %s"
SET_VARIABLE = """
INSERT INTO flows_variable (id, workspace_id, name, value, tags, created, updated)
VALUES (%s, %s, %s, %s, %s, now(), now())
ON CONFLICT (workspace_id, name) DO UPDATE SET value = excluded.value, tags = excluded.tags, updated = now()
WHERE %s
RETURNING id
"""
UNSET_VARIABLE = "DELETE FROM flows_variable WHERE workspace_id = %s AND name = %s RETURNING id"
BLOCK = "SELECT sealed FROM flows_block WHERE workspace_id = %s AND type = %s AND name = %s"
SAVE_BLOCK = """
INSERT INTO flows_block (id, workspace_id, type, name, sealed, created, updated)
VALUES (%s, %s, %s, %s, %s, now(), now())
ON CONFLICT (workspace_id, type, name) DO UPDATE SET sealed = excluded.sealed, updated = now()
WHERE %s
RETURNING id
"""
DELETE_BLOCK = "DELETE FROM flows_block WHERE workspace_id = %s AND type = %s AND name = %s RETURNING id"


class _OfWorkspace:
    """Transactions that are repeated while PostgreSQL is away, as user code should not notice it."""

    def __init__(self, session: Session, workspace_id: UUID) -> None:
        self._session = session
        self._workspace_id = workspace_id

    def _do(self, work: Callable[[Transaction], Result]) -> Result:
        return persistently(self._session, work)

    def _rows(self, sql: str, params: Sequence[Any]) -> list[Any]:
        return self._do(lambda tx: tx.execute(sql, params))


class DatabaseRuns(_OfWorkspace):
    """Runs of the workspace, as `flows.sdk.backend.Runs`. Other workspaces' runs are not there."""

    def __init__(self, session: Session, workspace_id: UUID, asking: FlowRunInfo) -> None:
        super().__init__(session, workspace_id)
        self._actor = {"type": "FLOW_RUN", "id": str(asking.id), "display_value": asking.name}

    def state(self, run_id: UUID) -> State | None:
        rows = self._rows(STATE, [run_id, self._workspace_id])
        if not rows:
            return None
        type, name, message, timestamp, state_id = rows[0]
        return State(StateType(type), name=name, message=message, timestamp=timestamp, id=state_id)

    def suspend(self, run_id: UUID, state: State) -> Verdict:
        return self._propose(run_id, lambda tx: transition_in(tx, run_id, state))

    def resume(self, run_id: UUID, run_input: Mapping[str, Any] | None) -> Verdict:
        return self._propose(run_id, lambda tx: resume_in(tx, run_id, run_input, self._actor))

    def put_input(self, run_id: UUID, sent: SentInput) -> None:
        def put(tx: Transaction) -> None:
            if not self._is_here(tx, run_id):
                raise LookupError(f"there is no flow run {run_id}")
            put_input(tx, run_id, sent)

        self._do(put)

    def input(self, run_id: UUID, key: str) -> SentInput | None:
        return self._do(lambda tx: read_input(tx, run_id, key) if self._is_here(tx, run_id) else None)

    def inputs(self, run_id: UUID, prefix: str, but: Collection[str]) -> list[SentInput]:
        return self._do(lambda tx: list_inputs(tx, run_id, prefix, but) if self._is_here(tx, run_id) else [])

    def result(self, run_id: UUID, key: str) -> bytes | None:
        signed = self._do(lambda tx: find_result(tx, self._workspace_id, key_hash(key), run_id))
        return None if signed is None else signer_of(self._workspace_id).verified(key, signed)

    def _propose(self, run_id: UUID, propose: Callable[[Transaction], Verdict]) -> Verdict:
        missing = Verdict(Status.ABORT, None, f"there is no flow run {run_id}")
        return self._do(lambda tx: propose(tx) if self._is_here(tx, run_id) else missing)

    def _is_here(self, tx: Transaction, run_id: UUID) -> bool:
        return bool(tx.execute(IN_WORKSPACE, [run_id, self._workspace_id]))


class DatabaseVariables(_OfWorkspace):
    """Variables of the workspace, as `flows.sdk.backend.Variables`."""

    def get(self, name: str) -> StoredVariable | None:
        rows = self._rows(VARIABLE, [self._workspace_id, name])
        if not rows:
            return None
        name, value, tags = rows[0]
        return StoredVariable(name, None if value is None else orjson.loads(value), tuple(tags))

    def set(self, name: str, value: Any, tags: Sequence[str], overwrite: bool) -> StoredVariable:
        row = [uuid7(), self._workspace_id, name, Jsonb(value), list(tags)]
        if not self._rows(SET_VARIABLE, [*row, overwrite]):
            raise AlreadyThereError(f"There is a variable {name!r} already; replace it with overwrite=True.")
        return StoredVariable(name, value, tuple(tags))

    def unset(self, name: str) -> bool:
        return bool(self._rows(UNSET_VARIABLE, [self._workspace_id, name]))


class DatabaseBlocks(_OfWorkspace):
    """Blocks of the workspace, as `flows.sdk.backend.Blocks`."""

    def load(self, type: str, name: str) -> dict[str, Any] | None:
        rows = self._rows(BLOCK, [self._workspace_id, type, name])
        document: dict[str, Any] | None = unseal(self._workspace_id, rows[0][0]) if rows else None
        return document

    def save(self, type: str, name: str, document: Mapping[str, Any], overwrite: bool) -> None:
        row = [uuid7(), self._workspace_id, type, name, seal(self._workspace_id, dict(document))]
        if not self._rows(SAVE_BLOCK, [*row, overwrite]):
            text = f"There is a block {type}/{name} already; replace it with overwrite=True."
            raise AlreadyThereError(text)

    def delete(self, type: str, name: str) -> bool:
        return bool(self._rows(DELETE_BLOCK, [self._workspace_id, type, name]))


def database_backend(
    session: Session, workspace_id: UUID, asking: FlowRunInfo, url: str = "", portal: Portal | None = None
) -> Backend:
    """The backend of a run that executes in this process; `session` is kept for it alone."""
    return Backend(
        DatabaseRuns(session, workspace_id, asking),
        DatabaseVariables(session, workspace_id),
        DatabaseBlocks(session, workspace_id),
        url,
        portal,
    )
