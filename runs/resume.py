"""Resuming a paused run: the answer and the new state commit together."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from flows.scoping import Actor
from flows.sdk.backend import SentInput
from flows.sdk.recorder import Status, Verdict
from flows.sdk.states import Running, Scheduled, State, Suspended
from runs.inputs import put_input
from runs.pausing import Pause, pause_of
from runs.session import Session, Transaction
from runs.transition import lock, transition_in


def resume(
    session: Session, run_id: UUID, run_input: Mapping[str, Any] | None, actor: Mapping[str, str]
) -> Verdict:
    """Let a paused run go on. `actor` ({type, id, display_value}) is kept in the details of the new state.

    ABORT without a state: the run is not paused. REJECT: the input does not fit the run's question, and the
    run is still paused; or it is too late, and the run has failed.
    """
    with session.transaction() as tx:
        return resume_in(tx, run_id, run_input, actor)


def resume_in(
    tx: Transaction, run_id: UUID, run_input: Mapping[str, Any] | None, actor: Mapping[str, str]
) -> Verdict:
    """`resume` within a transaction that the caller has open."""
    run = lock(tx, run_id)
    pause = pause_of(tx, run_id)
    if run is None or pause is None:
        there = f"the run is {run.state_name}, not paused" if run else f"there is no flow run {run_id}"
        return Verdict(Status.ABORT, None, there)
    if wrong := pause.wrong(run_input or {}):
        return Verdict(Status.REJECT, run.state(), "the input does not fit: " + "; ".join(wrong))
    verdict = transition_in(tx, run_id, _resumed(pause, actor, run.now))
    if verdict.status is Status.ACCEPT and "response" in pause.keys:
        sender = str(actor.get("display_value", ""))
        put_input(tx, run_id, SentInput(pause.keys["response"], dict(run_input or {}), sender))
    return verdict


def suspended_by(actor: Actor, timeout: timedelta | None, key: str | None = None) -> State:
    """A state for a run that `actor` suspends; after `timeout` it fails (None: never). A run passes a pause
    with the same key once (None: a key of its own)."""
    until = None if timeout is None else (datetime.now(UTC) + timeout).isoformat()
    details = {"pause_key": key or str(uuid4()), "pause_timeout": until, "suspended_by": actor.as_json()}
    return Suspended(message=f"Suspended by {actor.name}.", details=details)


def _resumed(pause: Pause, actor: Mapping[str, str], now: datetime) -> State:
    details = {"resumed_by": dict(actor)}
    message = f"Resumed by {actor.get('display_value') or 'somebody'}."
    if pause.is_suspended:
        return Scheduled(now, name="Resuming", message=message, details=details)
    return Running(message=message, details=details)
