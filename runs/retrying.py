"""Running a run that has ended once more: the same run again, from a chosen task on, or a new one like it."""

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db.models import Q

from flows.scoping import Actor
from flows.sdk.recorder import Status, Verdict
from flows.sdk.states import AwaitingRetry
from runs.create import NewRun, insert_runs
from runs.lineage import Call, Made, untouched
from runs.models import FlowRun, TaskRun
from runs.session import DjangoSession, Session, Transaction
from runs.transition import lock, transition_in

REDO_FROM = "UPDATE runs_flowrun SET redo_from = %s WHERE id = %s"

MADE = """
SELECT id, task_key, dynamic_key, task_inputs, created, end_time FROM runs_taskrun
WHERE flow_run_id = %s AND attempt = (SELECT attempt FROM runs_taskrun WHERE id = %s)
"""

NAMED = 10


class NoSuchTaskError(ValueError):
    """The run has no task run of that name or id."""


def retry(session: Session, run_id: UUID, actor: Actor, *, from_task: UUID | None = None) -> Verdict:
    """Reopen a run that has ended: it is due now, and its next attempt takes what earlier ones computed.

    From the task run `from_task` on, everything is computed anew. Counters go on: a flow that has used up its
    retries gets this one try. ABORT, with the reason, for a run that cannot be retried.
    """
    with session.transaction() as tx:
        run = lock(tx, run_id)
        if run is None:
            return Verdict(Status.ABORT, None, f"there is no flow run {run_id}")
        if not run.state().is_terminal():
            return Verdict(Status.ABORT, run.state(), f"it has not ended: it is {run.state_name}")
        if run.is_subflow:
            return Verdict(Status.ABORT, run.state(), "it is a part of another run: retry that one")
        if not run.has_deployment:
            return Verdict(Status.ABORT, run.state(), "it has no deployment, so no agent could find its code")
        details = {"retried_by": actor.as_json()} | ({"from_task": str(from_task)} if from_task else {})
        awaiting = AwaitingRetry(run.now, message=f"Retried by {actor.name}.", details=details)
        verdict = transition_in(tx, run_id, awaiting)
        if verdict.status is Status.ACCEPT:
            tx.execute(REDO_FROM, [from_task, run_id])
        return verdict


def find_task_run(run_id: UUID, text: str) -> UUID:
    """The task run with this id or name; for a task's name, its first call. Raises NoSuchTaskError.

    What the newest attempt called goes before what earlier ones did.
    """
    tasks = TaskRun.objects.filter(flow_run=run_id)
    ordered = tasks.filter(_is(text)).order_by("-attempt", "created", "id")
    found: UUID | None = ordered.values_list("id", flat=True).first()
    if found is None:
        keys = tasks.order_by("task_key").values_list("task_key", flat=True).distinct()[:NAMED]
        there = f"It called {', '.join(map(plain_name, keys))}." if keys else "It called none."
        raise NoSuchTaskError(f"The run has no task '{text}'. {there}")
    return found


def plain_name(task_key: str) -> str:
    """A task's name, as people call it: without the function that it was defined in."""
    function, bracket, name = task_key.partition("[")
    return name.removesuffix("]") if bracket else function.rpartition(".")[2]


def _is(text: str) -> Q:
    try:
        return Q(id=UUID(text))
    except ValueError:
        of_task = Q(task_key=text) | Q(task_key__endswith=f".{text}") | Q(task_key__endswith=f"[{text}]")
        return Q(name=text) | of_task


def reusable_calls(tx: Transaction, run_id: UUID, from_task: UUID) -> frozenset[Call]:
    """The calls whose results a run that is retried from `from_task` on may take."""
    rows = tx.execute(MADE, [run_id, from_task])
    made = (
        Made(id, task_key, dynamic_key, json.loads(inputs), created, ended)
        for id, task_key, dynamic_key, inputs, created, ended in rows
    )
    return untouched(made, from_task)


def run_again(
    run: FlowRun,
    parameters: Mapping[str, Any],
    actor: Actor,
    *,
    reuse_results: bool = False,
    name: str = "",
    idempotency_key: str | None = None,
) -> FlowRun:
    """A new run of the same deployment, which must be there, due now, with these parameters.

    With `reuse_results`, calls whose task, code and inputs are as they were in the old run take its results.
    With an `idempotency_key` that the deployment has seen, the run that it made then is returned.
    """
    assert run.deployment is not None
    new = NewRun.of(
        run.deployment,
        parameters=dict(parameters),
        job_variables=run.job_variables,
        name=name or None,
        tags=run.tags,
        created_by=dict(actor.as_json()),
        slot=run.slot if run.start_time else None,
        rerun_of_id=run.id,
        result_scope=(run.result_scope or run.id) if reuse_results else None,
        idempotency_key=idempotency_key,
    )
    if insert_runs(DjangoSession(), [new]):
        return FlowRun.objects.get(id=new.id)
    return FlowRun.objects.get(deployment=run.deployment, idempotency_key=idempotency_key)
