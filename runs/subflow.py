"""Runs of flows that are called within a flow: rows of their own, no process of their own."""

from uuid import UUID

from flows.sdk.ids import uuid7
from flows.sdk.recorder import Aborted, FlowRunInfo, NewFlowRun
from flows.sdk.states import Pending
from runs.create import NewRun, insert_runs_in
from runs.session import Transaction

WORKSPACE = "SELECT workspace_id FROM runs_flowrun WHERE id = %s"

# DO UPDATE rather than DO NOTHING: only then is the row of a concurrent insert returned.
FLOW = """
INSERT INTO flows_flow (id, workspace_id, name, tags, created, updated)
VALUES (%s, %s, %s, '{}', now(), now())
ON CONFLICT (workspace_id, name) DO UPDATE SET name = excluded.name
RETURNING id
"""


def create_subflow_run(tx: Transaction, root_run_id: UUID, new: NewFlowRun) -> FlowRunInfo:
    """Create a run, in state PENDING, that `root_run_id`'s process executes.

    It takes no place in a work queue and has no lease: the root's attempt fences its writes.
    Raises Aborted when the root run is gone.
    """
    rows = tx.execute(WORKSPACE, [root_run_id])
    if not rows:
        raise Aborted(f"there is no flow run {root_run_id}")
    workspace_id = rows[0][0]
    flow_id = tx.execute(FLOW, [uuid7(), workspace_id, new.flow_name])[0][0]
    run = NewRun(
        id=new.id,
        workspace_id=workspace_id,
        flow_id=flow_id,
        name=new.name,
        parameters=dict(new.parameters),
        tags=new.tags,
        root_run_id=root_run_id,
        parent_task_run_id=new.parent_task_run_id,
        state=Pending(),
    )
    insert_runs_in(tx, [run])
    return FlowRunInfo.of(new, root_run_id=root_run_id)
