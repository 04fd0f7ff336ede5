"""Ending a run for a process that cannot do it any more: it was killed, or nobody hears from it."""

import logging
from uuid import UUID

from flows.sdk.ids import uuid7
from flows.sdk.recorder import Status, Verdict
from flows.sdk.states import State
from runs.session import Session
from runs.storable import clean
from runs.transition import transition_in

# Its batches leave every 0.1 s, so that is about how much of its log a killed process takes along.
LAST_LINE = """
INSERT INTO runs_log (id, timestamp, flow_run_id, level, name, message)
VALUES (%s, clock_timestamp(), %s, %s, 'flow_runs', %s)
"""
MARK = "What it logged in its last moments may be missing."
LAST_LINES = "Its last lines on standard error were:"


def end_for(
    session: Session, run_id: UUID, attempt: int | None, state: State, last_lines: str = ""
) -> Verdict:
    """Propose the end of an attempt in place of its process, and say in the run's log why it breaks off, and
    what the process said last.

    `attempt` None: a Prefect client executes the run.
    """
    text = f"{state.name}. {state.message} {MARK}"
    if last_lines:
        text = f"{text} {LAST_LINES}\n{last_lines}"
    with session.transaction() as tx:
        verdict = transition_in(tx, run_id, state, attempt=attempt)
        if verdict.status is not Status.ABORT:
            level = logging.ERROR if state.is_crashed() else logging.WARNING
            tx.execute(LAST_LINE, [uuid7(), run_id, level, clean(text)])
    return verdict
