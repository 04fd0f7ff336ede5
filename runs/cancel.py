"""Cancelling a run, for everybody who may ask for it: API, pages, services."""

from uuid import UUID

from flows.sdk.recorder import Status, Verdict
from flows.sdk.states import TERMINAL, Cancelled, Cancelling
from runs.closing import lock_parts_first
from runs.session import Session
from runs.transition import lock, transition_in


def cancel(session: Session, run_id: UUID, by: str, force: bool = False) -> Verdict:
    """Ask a run to stop; one that has no process is cancelled at once.

    Its process gets a grace time to clean up. With `force` it gets none: the run is cancelled now, and its
    agent kills the process as soon as it learns of it. What has ended stays as it is (ABORT).
    """
    with session.transaction() as tx:
        if not force:
            return transition_in(tx, run_id, Cancelling(message=f"Cancelled by {by}."))
        killed = Cancelled(message=f"Killed by {by}.")
        lock_parts_first(tx, run_id, killed)
        run = lock(tx, run_id)
        if run is None:
            return Verdict(Status.ABORT, None, f"there is no flow run {run_id}")
        if run.state_type in TERMINAL:
            return Verdict(Status.ABORT, run.state(), f"the run has already ended as {run.state_name}")
        if run.is_subflow:  # the rules say why not
            return transition_in(tx, run_id, Cancelling())
        return transition_in(tx, run_id, killed, force=True)
