"""When a run ends from outside, what it left open ends with it.

A process that died reports nothing more: its subflows and task runs would read Running for ever.
"""

from uuid import UUID

from flows.sdk.ids import uuid7
from flows.sdk.states import State, StateType
from runs.session import Transaction

OPEN = "state_type NOT IN ('CANCELLED', 'COMPLETED', 'FAILED', 'CRASHED')"

# Who locks several flow runs keeps to one order, so that none wait in a circle. Where an agent or a script
# owns the root, the root comes first: its row is the fence of all that its attempt writes. Of runs that
# Prefect's processes execute, the subflow comes before its caller, and the newer before the older: the
# subflow's stand-in in its caller follows each of its states (`runs.by_prefect`, `runs.client_reports`).
OPEN_SUBFLOWS = f"SELECT id FROM runs_flowrun WHERE root_run_id = %s AND {OPEN} ORDER BY id DESC FOR UPDATE"
OPEN_SUBFLOWS_OF_PREFECT = f"""
SELECT id FROM runs_flowrun
WHERE root_run_id = %s AND {OPEN}
  AND EXISTS (SELECT FROM runs_flowrun r WHERE r.id = %s AND r.attempt = 0 AND NOT r.leased)
ORDER BY id DESC FOR UPDATE
"""

CLOSE_SUBFLOWS = """
WITH closed AS (
    SELECT * FROM unnest(%s::uuid[], %s::uuid[]) AS c(run_id, state_id)
), history AS (
    INSERT INTO runs_flowrunstate
        (id, flow_run_id, type, name, message, timestamp, attempt, state_details)
    SELECT state_id, run_id, %s, %s, %s, %s, 0, '{}' FROM closed
)
UPDATE runs_flowrun r SET
    state_id = c.state_id, state_type = %s, state_name = %s, state_message = %s,
    state_timestamp = %s, end_time = %s, version = r.version + 1, updated = now()
FROM closed c WHERE r.id = c.run_id
"""

OPEN_TASK_RUNS = f"""
SELECT id FROM runs_taskrun WHERE flow_run_id = ANY(%s) AND {OPEN} ORDER BY id FOR UPDATE
"""

CLOSE_TASK_RUNS = """
WITH closed AS (
    SELECT * FROM unnest(%s::uuid[], %s::uuid[]) AS c(task_run_id, state_id)
), done AS (
    UPDATE runs_taskrun t SET
        state_id = c.state_id, state_type = %s, state_name = %s, state_message = %s,
        state_timestamp = %s, end_time = %s, sequence = t.sequence + 1,
        version = (SELECT version FROM runs_flowrun WHERE id = t.flow_run_id)
    FROM closed c WHERE t.id = c.task_run_id
    RETURNING t.id, t.flow_run_id, t.attempt, t.sequence
)
INSERT INTO runs_taskrunstate
    (id, task_run_id, flow_run_id, type, name, message, timestamp, attempt, sequence)
SELECT c.state_id, d.id, d.flow_run_id, %s, %s, %s, %s, d.attempt, d.sequence
FROM done d JOIN closed c ON c.task_run_id = d.id
"""

ENDED_FROM_OUTSIDE = frozenset({StateType.CRASHED, StateType.CANCELLED})


MAY_END_FROM_OUTSIDE = ENDED_FROM_OUTSIDE | {StateType.CANCELLING}


def lock_parts_first(tx: Transaction, run_id: UUID, state: State) -> None:
    """Lock what may end with a run before the run itself, where that is the order. Call it before `lock`.

    A subflow that enters a state at this moment holds its own row, and waits for that of its caller.
    """
    if state.type in MAY_END_FROM_OUTSIDE or state.name == "TimedOut":
        tx.execute(OPEN_SUBFLOWS_OF_PREFECT, [run_id, run_id])


def close_open_parts(
    tx: Transaction, run_id: UUID, state: State, because: str = "Its flow run ended."
) -> None:
    """End the open subflows and task runs of a run that has just crashed, been cancelled or timed out."""
    if state.name == "TimedOut":
        ending = [StateType.CANCELLED.value, "Cancelled", "Its flow run timed out.", state.timestamp]
    elif state.type in ENDED_FROM_OUTSIDE:
        ending = [state.type.value, state.name, because, state.timestamp]
    else:
        return
    subflows = [row[0] for row in tx.execute(OPEN_SUBFLOWS, [run_id])]
    if subflows:
        ids = [uuid7() for _ in subflows]
        tx.execute(CLOSE_SUBFLOWS, [subflows, ids, *ending, *ending, state.timestamp])
    task_runs = [row[0] for row in tx.execute(OPEN_TASK_RUNS, [[run_id, *subflows]])]
    if task_runs:
        ids = [uuid7() for _ in task_runs]
        tx.execute(CLOSE_TASK_RUNS, [task_runs, ids, *ending, state.timestamp, *ending])
