"""The one function through which every flow run changes its state.

Agents, API, pages and services all call `transition`. It locks the row, asks the rules, writes
the history and the new current state in one transaction, and announces the change once that is durable.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from flows.sdk.recorder import Status, Verdict
from flows.sdk.states import State, StateType, keeps_process
from runs import announce
from runs.acting import acting
from runs.by_prefect import (
    BY_PREFECT,
    carried_over,
    forget_process,
    lead_stand_in,
    read_by_prefect,
)
from runs.closing import close_open_parts, lock_parts_first
from runs.pausing import continues, pause_columns, settle_pause
from runs.prefect_rules import PREFECT
from runs.quarantine import quarantine_if_poisoned
from runs.rules import FORCED, ORCHESTRATION, Current, Decision, Policy, Proposal
from runs.session import Session, Transaction
from runs.slots import if_there_is_a_slot, wake_for_slots_of

LOCK = f"""
SELECT r.id, r.workspace_id, r.state_id, r.state_type, r.state_name, r.state_message, r.state_timestamp,
       coalesce(root.attempt, r.attempt),
       CASE WHEN r.root_run_id IS NULL THEN r.lease_expires ELSE root.lease_expires END IS NOT NULL,
       r.root_run_id IS NOT NULL, r.deployment_id IS NOT NULL,
       r.work_queue_id, r.expected_start_time, r.crash_count, coalesce(d.crash_retries, r.crash_retries),
       coalesce(d.crash_retry_delay_seconds, r.crash_retry_delay_seconds), clock_timestamp(),
       r.pause_keys, r.pause_expires, r.resuming, r.backfill_id, r.parent_task_run_id,
       {BY_PREFECT}
FROM runs_flowrun r
LEFT JOIN runs_flowrun root ON root.id = r.root_run_id
LEFT JOIN flows_deployment d ON d.id = r.deployment_id
WHERE r.id = %s
FOR UPDATE OF r
"""

STORE = """
WITH history AS (
    INSERT INTO runs_flowrunstate
        (id, flow_run_id, type, name, message, timestamp, attempt, state_details)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
)
UPDATE runs_flowrun SET
    state_id = %s, state_type = %s, state_name = %s, state_message = %s, state_timestamp = %s,
    expected_start_time = coalesce(%s, expected_start_time),
    start_time = coalesce(start_time, %s),
    end_time = %s,
    deadline = coalesce(%s, CASE
        WHEN %s THEN deadline
        WHEN state_type = 'PAUSED' AND %s THEN deadline + (%s - state_timestamp) END),
    total_run_time = total_run_time + CASE WHEN state_type = 'RUNNING'
        THEN greatest(0, extract(epoch FROM %s - state_timestamp)) ELSE 0 END,
    run_count = run_count + %s,
    crash_count = crash_count + %s,
    name = coalesce(left(%s, 200), name),
    crash_retries = coalesce(%s, crash_retries),
    crash_retry_delay_seconds = coalesce(%s, crash_retry_delay_seconds),
    lease_expires = CASE WHEN %s THEN lease_expires END,
    forked_time = coalesce(%s, forked_time),
    loaded_time = coalesce(%s, loaded_time),
    infrastructure_pid = coalesce(%s, infrastructure_pid),
    cpu_seconds = coalesce(cpu_seconds + %s, %s, cpu_seconds),
    peak_memory_bytes = greatest(peak_memory_bytes, %s),
    pause_keys = %s, pause_expires = %s, resuming = %s,
    version = version + 1,
    updated = now()
WHERE id = %s
RETURNING version
"""


def transition(
    session: Session, run_id: UUID, state: State, *, attempt: int | None = None, force: bool = False
) -> Verdict:
    """Propose `state` for a flow run and say what became of it.

    `attempt` is the number of the attempt that asks, if a process that executes the run asks;
    one that no longer owns the run gets ABORT. `force` skips the rules, but not that one.
    An unknown run gets ABORT with no state. Repeating a call with the same state changes nothing.
    """
    with session.transaction() as tx:
        return transition_in(tx, run_id, state, attempt=attempt, force=force)


def transition_in(
    tx: Transaction, run_id: UUID, state: State, *, attempt: int | None = None, force: bool = False
) -> Verdict:
    """`transition` within a transaction that the caller has open, to commit more with it."""
    lock_parts_first(tx, run_id, state)
    run = lock(tx, run_id)
    if run is None:
        return Verdict(Status.ABORT, None, f"there is no flow run {run_id}")
    proposal = Proposal(carried_over(run, on_our_clock(run, state)), attempt)
    decision = _policy_for(run, force).decide(run, proposal)
    if not force:
        decision = if_there_is_a_slot(tx, run, decision)
    if decision.store is None:
        return _verdict(decision, run.state())
    version = _store(tx, run, decision.store)
    if decision.store.is_terminal():
        close_open_parts(tx, run.id, decision.store)
    elif decision.store.is_paused():
        settle_pause(tx, run.id, decision.store)
    if decision.then is not None:
        version = _store(tx, run, decision.then)
    last = decision.then or decision.store
    if last.is_crashed() and run.has_deployment:
        quarantine_if_poisoned(tx, run.id)
    if gives_back(run, last):
        wake_for_slots_of(tx, run.id)
    if run.by_prefect:
        forget_process(tx, run, last)
    if run.backfill_id and last.is_terminal():
        _go_on_with_backfill(tx, run.backfill_id)
    if run.parent_task_run_id and (run.by_prefect or not run.is_subflow):
        lead_stand_in(tx, run)
    _announce_on_commit(tx, run, last, version)
    return _verdict(decision, last)


def _policy_for(run: Current, force: bool) -> Policy:
    if force:
        return FORCED
    return PREFECT if run.by_prefect else ORCHESTRATION


def _go_on_with_backfill(tx: Transaction, backfill_id: UUID) -> None:
    # A new run may end others (collisions), so the making of runs stands above this module.
    from runs.backfills.release import release_in

    release_in(tx, backfill_id)


def on_our_clock(run: Current, state: State) -> State:
    """The state, timed by the database if the clock of whoever proposes it is wrong.

    A time before the state that holds, or after now, cannot be: history would be out of order, and timeouts
    would pass too early or never.
    """
    if run.state_timestamp <= state.timestamp <= run.now:
        return state
    return replace(state, timestamp=max(run.now, run.state_timestamp))


def _verdict(decision: Decision, state: State) -> Verdict:
    return Verdict(decision.status, state, decision.reason, decision.delay_seconds)


def lock(tx: Transaction, run_id: UUID) -> Current | None:
    """The run as it is now, and stays until the transaction ends; None if there is no such run."""
    rows = tx.execute(LOCK, [run_id])
    if not rows:
        return None
    values = list(rows[0])
    values[3] = StateType(values[3])
    values[-1] = read_by_prefect(tx, run_id) if values[-1] else None
    return Current(*values)


def _store(tx: Transaction, run: Current, state: State) -> int:
    """Write history and current state in one statement; return the run's new version."""
    rows = tx.execute(STORE, _values_of(run, state))
    version: int = rows[0][0]
    return version


def _values_of(run: Current, state: State) -> list[Any]:
    """What `STORE` takes, in its order."""
    running = state.type is StateType.RUNNING
    who = acting()
    details = {**state.details, "actor": who} if who else state.details
    core = [state.type.value, state.name, state.message, state.timestamp]
    return [
        *(state.id, run.id, *core, run.attempt, Jsonb(details)),
        *(state.id, *core),
        scheduled_time_of(state),
        state.timestamp if running else None,
        state.timestamp if state.is_terminal() else None,
        _deadline_of(state),
        *(state.is_paused() and keeps_process(state), running, state.timestamp),
        state.timestamp,
        1 if running and not continues(run) else 0,
        1 if state.is_crashed() else 0,
        *(details.get("run_name"), details.get("crash_retries")),
        details.get("crash_retry_delay_seconds"),
        keeps_process(state),
        *(details.get("forked_time"), details.get("loaded_time")),
        details.get("infrastructure_pid"),
        *(details.get("cpu_seconds"), details.get("cpu_seconds"), details.get("peak_memory_bytes")),
        *pause_columns(run, state),
        run.id,
    ]


def scheduled_time_of(state: State) -> datetime | None:
    """When a SCHEDULED state is due; None for the other types."""
    when: Any = state.details.get("scheduled_time")
    if state.type is not StateType.SCHEDULED or when is None:
        return None
    return when if isinstance(when, datetime) else datetime.fromisoformat(when)


def _deadline_of(state: State) -> datetime | None:
    """When the flow's timeout passes for a try that begins with this state. A pause does not count: it moves
    the deadline of the try."""
    seconds = state.details.get("timeout_seconds")
    return None if seconds is None else state.timestamp + timedelta(seconds=seconds)


UNDER_WAY = frozenset({StateType.PENDING, StateType.RUNNING, StateType.CANCELLING})


def gives_back(run: Current, state: State) -> bool:
    """Whether the run may have had slots, and has none in this state."""
    if not (run.leased or run.state_type in UNDER_WAY or run.state_type is StateType.PAUSED):
        return False
    return not keeps_process(state) and state.type not in UNDER_WAY


def _announce_on_commit(tx: Transaction, run: Current, state: State, version: int) -> None:
    message = announce.RunChanged(run.id, run.workspace_id, version, state.type.value, state.name)
    tx.on_commit(lambda: announce.publish(message))
    queue_id = run.work_queue_id
    if queue_id and _became_claimable(run, state):
        tx.on_commit(lambda: announce.ring(queue_id))


def _became_claimable(run: Current, state: State) -> bool:
    """Whether this change gave an agent something to do. A run that is now called Late had been rung for."""
    if state.type is not StateType.SCHEDULED or state.name == "Late" or keeps_process(state):
        return False
    return (scheduled_time_of(state) or run.now) <= run.now
