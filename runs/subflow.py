"""Runs of flows that are called within a flow: rows of their own, no process of their own."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from flows.sdk.ids import uuid7
from flows.sdk.recorder import NewFlowRun
from flows.sdk.states import Pending, State
from runs.create import NewRun, insert_runs_in
from runs.session import Transaction
from runs.storable import MOST_NAME_CHARACTERS, clean_tags

# As the foreign key does: nobody deletes the flow before its run is there.
FLOWS = "SELECT name, id FROM flows_flow WHERE workspace_id = %s AND name = ANY(%s) FOR KEY SHARE"

# DO UPDATE rather than DO NOTHING: only then is the row of a concurrent insert returned.
NEW_FLOW = """
INSERT INTO flows_flow (id, workspace_id, name, tags, created, updated)
VALUES (%s, %s, %s, '{}', now(), now())
ON CONFLICT (workspace_id, name) DO UPDATE SET name = excluded.name
RETURNING id
"""


@dataclass(frozen=True, slots=True)
class NewSubflow:
    """A subflow's run that begins, and its first state."""

    run: NewFlowRun
    state: State = field(default_factory=Pending)


def create_subflow_runs(
    tx: Transaction, root_run_id: UUID, workspace_id: UUID, subflows: Sequence[NewSubflow]
) -> None:
    """Create runs that `root_run_id`'s process executes; those that are there already are left alone.

    They take no place in a work queue and have no lease: the root's attempt fences their writes.
    """
    flows = _flows(tx, workspace_id, {_name(each) for each in subflows})
    runs = [
        NewRun(
            id=each.run.id,
            workspace_id=workspace_id,
            flow_id=flows[_name(each)],
            name=each.run.name,
            parameters=dict(each.run.parameters),
            tags=clean_tags(each.run.tags),
            root_run_id=root_run_id,
            parent_task_run_id=each.run.parent_task_run_id,
            state=each.state,
        )
        for each in subflows
    ]
    insert_runs_in(tx, runs)


def _name(subflow: NewSubflow) -> str:
    return subflow.run.flow_name[:MOST_NAME_CHARACTERS]


def _flows(tx: Transaction, workspace_id: UUID, names: Collection[str]) -> dict[str, UUID]:
    """The flows of these names. They are nearly always there: to write them would let others wait."""
    found: dict[str, UUID] = dict(tx.execute(FLOWS, [workspace_id, list(names)]))
    for name in sorted(set(names) - set(found)):
        found[name] = tx.execute(NEW_FLOW, [uuid7(), workspace_id, name])[0][0]
    return found
