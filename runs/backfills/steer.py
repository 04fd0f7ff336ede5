"""Making backfills, and changing, pausing, resuming and cancelling them."""

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from flows.models import Deployment
from flows.sdk.states import Cancelling
from runs.backfills.plan import Plan
from runs.backfills.planning import add_cells, to_be_planned
from runs.backfills.release import release_in
from runs.backfills.wish import refuse
from runs.models import Backfill, FlowRun
from runs.models.backfill import OPEN, BackfillState
from runs.models.flow_run import StateType
from runs.session import DjangoSession
from runs.transition import transition

RELEASING = (BackfillState.ACTIVE, BackfillState.PAUSED)


class NotPossibleError(ValueError):
    """The backfill is in a state that does not allow this."""


def open_backfills(deployment: Deployment) -> QuerySet[Backfill]:
    """Those of a deployment that have not ended."""
    return Backfill.objects.filter(deployment=deployment, state__in=OPEN)


def create_backfill(
    plan: Plan, created_by: Mapping[str, Any] | None = None, id: UUID | None = None
) -> Backfill:
    """Make the backfill with all of its cells, and its first runs, in one transaction.

    One that is not whole is made PLANNING, without any: `agents.services.planning` does the rest. Raises
    BackfillError if the plan has no cells. `id` is its own, if whoever wants it has made one.
    """
    if plan.is_whole and not plan.cells:
        raise refuse("which", "; ".join(plan.warnings) or "there is no slot in this range")
    with transaction.atomic():
        backfill = _row(plan, created_by)
        backfill.id = id or backfill.id
        backfill.save(force_insert=True)
        if plan.is_whole:
            with DjangoSession().transaction() as tx:
                add_cells(tx, backfill.id, 0, plan.cells)
                release_in(tx, backfill.id)
    backfill.refresh_from_db()
    return backfill


def _row(plan: Plan, created_by: Mapping[str, Any] | None) -> Backfill:
    wish = plan.wish
    return Backfill(
        workspace_id=wish.deployment.workspace_id,
        deployment=wish.deployment,
        schedule=wish.schedule,
        start=plan.start,
        end=plan.end,
        rule=wish.schedule.rule_text if wish.schedule else _in_words(plan),
        slot_parameter=wish.slot_parameter or "",
        grid={name: list(values) for name, values in wish.grid.items()},
        parameters=wish.common(),
        which=wish.which,
        newest_first=wish.newest_first,
        concurrency=wish.concurrency,
        priority=wish.priority,
        tags=list(wish.tags),
        created_by=dict(created_by) if created_by else None,
        **_extent(plan),
    )


def _extent(plan: Plan) -> dict[str, Any]:
    if plan.is_whole:
        return {"total": len(plan.cells)}
    planning = to_be_planned(plan.within)
    return {"total": 0, "state": BackfillState.PLANNING, "planning": planning, "planned_percent": 0}


def _in_words(plan: Plan) -> str:
    rule = plan.within.rule if plan.within else None
    if rule is None:
        return ""
    return f"{rule.cron} {rule.timezone}" if rule.cron else f"every {rule.interval}"


def pause_backfill(backfill_id: UUID) -> Backfill:
    """Release no more of its cells; what runs goes on. Raises NotPossibleError once it has ended."""
    return _enter(backfill_id, BackfillState.PAUSED, RELEASING)


def resume_backfill(backfill_id: UUID) -> Backfill:
    """Go on after a pause, at once. Raises NotPossibleError once it has ended."""
    _enter(backfill_id, BackfillState.ACTIVE, RELEASING)
    release(backfill_id)
    return Backfill.objects.get(id=backfill_id)


def change_concurrency(backfill_id: UUID, concurrency: int) -> Backfill:
    """Let so many of its runs be under way at once: more begin now; those that are too many go on.

    Raises NotPossibleError once it has ended.
    """
    open_one = Backfill.objects.filter(id=backfill_id, state__in=OPEN)
    if not open_one.update(concurrency=concurrency, updated=Now()):
        raise _not_possible(Backfill.objects.get(id=backfill_id))
    release(backfill_id)
    return Backfill.objects.get(id=backfill_id)


def cancel_backfill(backfill_id: UUID, message: str, *, running_too: bool = False) -> Backfill:
    """Release no more, and cancel its runs that have not started (`running_too`: all that have not ended).

    Raises NotPossibleError once it has ended.
    """
    backfill = _enter(backfill_id, BackfillState.CANCELLED, OPEN)
    types = [StateType.SCHEDULED]
    if running_too:
        types += [StateType.PENDING, StateType.RUNNING, StateType.PAUSED]
    waiting = FlowRun.objects.filter(backfill=backfill, state_type__in=types)
    # One transaction each: a run that ends locks itself first and its backfill second.
    for run_id in list(waiting.values_list("id", flat=True)):
        transition(DjangoSession(), run_id, Cancelling(message=message))
    return backfill


def release(backfill_id: UUID) -> int:
    """`release_in` in a transaction of its own."""
    with DjangoSession().transaction() as tx:
        return release_in(tx, backfill_id)


def _enter(backfill_id: UUID, state: BackfillState, of: Collection[str]) -> Backfill:
    ended = {"finished": Now(), "planning": None} if state == BackfillState.CANCELLED else {}
    open_one = Backfill.objects.filter(id=backfill_id, state__in=of)
    changed = open_one.update(state=state, updated=Now(), **ended)
    backfill: Backfill = Backfill.objects.get(id=backfill_id)
    if not changed:
        raise _not_possible(backfill)
    return backfill


def _not_possible(backfill: Backfill) -> NotPossibleError:
    if backfill.state == BackfillState.PLANNING:
        return NotPossibleError("The backfill is still being planned: none of its runs has begun. Cancel it.")
    return NotPossibleError(f"The backfill has ended: it is {backfill.get_state_display().lower()}.")
