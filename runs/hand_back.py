"""Handing a run back: an agent that stops gives it to the next one.

The new start is not counted as a try: neither retries nor crash retries are used up. Tasks whose results
are kept are not called again; everything else of the try is.
"""

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flows.sdk.recorder import Status, Verdict
from flows.sdk.states import Cancelled, Scheduled, State, StateType, Suspended
from runs.closing import close_open_parts
from runs.rules import Current
from runs.session import Session, Transaction
from runs.transition import lock, transition_in

# Without a deployment no other agent would know what to execute.
MAY_BE_HANDED_BACK = """
SELECT d.hand_back FROM runs_flowrun r JOIN flows_deployment d ON d.id = r.deployment_id WHERE r.id = %s
"""

DETAILS = "SELECT state_details FROM runs_flowrunstate WHERE id = %s"


def may_be_handed_back(session: Session, run_id: UUID) -> bool:
    """Whether another agent may begin this run again after it has begun; its deployment says so."""
    with session.transaction() as tx:
        rows = tx.execute(MAY_BE_HANDED_BACK, [run_id])
    return bool(rows) and bool(rows[0][0])


def hand_back(
    session: Session, run_id: UUID, attempt: int, because: str, usage: Mapping[str, Any] | None = None
) -> Verdict:
    """Let the next agent have the run; the process of `attempt` must have ended, or not have begun.

    What the process left open ends. A run that was paused in its process is suspended instead, so that it
    still waits for its answer. `usage` is what `flows.sdk.usage` knows of the process.
    """
    with session.transaction() as tx:
        run = lock(tx, run_id)
        if run is None:
            return Verdict(Status.ABORT, None, f"there is no flow run {run_id}")
        state = _without_process(tx, run, because, dict(usage or {}))
        # The rule against pauses by others protects a process that is gone.
        verdict = transition_in(tx, run_id, state, attempt=attempt, force=state.is_paused())
        if verdict.status is Status.ACCEPT and state.is_scheduled():
            ended = Cancelled(timestamp=run.now)
            close_open_parts(tx, run_id, ended, "Its flow run was handed back, and will call it again.")
        return verdict


def _without_process(tx: Transaction, run: Current, because: str, usage: dict[str, Any]) -> State:
    """The state in which the run waits for its next process."""
    if run.state_type is StateType.PAUSED:
        details = json.loads(tx.execute(DETAILS, [run.state_id])[0][0] or "{}")
        return Suspended(message=because, timestamp=run.now, details={**details, **usage})
    details = {"handed_back": True, **usage}
    if run.state_type is not StateType.SCHEDULED:
        return Scheduled(run.now, message=because, timestamp=run.now, details=details)
    # Its process waited for the next try.
    return Scheduled(
        run.expected_start_time, name=run.state_name, message=because, timestamp=run.now, details=details
    )
