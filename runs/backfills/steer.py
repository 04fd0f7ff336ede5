"""Making backfills, and pausing, resuming and cancelling them."""

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from flows.catalog.json_text import json_text
from flows.catalog.slots import SlotRule
from flows.models import Deployment
from flows.sdk.ids import uuid7
from flows.sdk.states import Cancelling
from runs.backfills.plan import Cell, Plan
from runs.backfills.release import release_in
from runs.backfills.wish import refuse
from runs.models import Backfill, FlowRun
from runs.models.backfill import OPEN, BackfillState
from runs.models.flow_run import StateType
from runs.session import DjangoSession
from runs.transition import transition

COPY_CELLS = "COPY runs_backfillcell (id, backfill_id, number, slot, parameters) FROM STDIN"


class NotPossibleError(ValueError):
    """The backfill is in a state that does not allow this."""


def open_backfills(deployment: Deployment) -> QuerySet[Backfill]:
    """Those of a deployment that have not ended."""
    return Backfill.objects.filter(deployment=deployment, state__in=OPEN)


def create_backfill(plan: Plan, created_by: Mapping[str, Any] | None = None) -> Backfill:
    """Make the backfill with all of its cells, and its first runs, in one transaction.

    Raises BackfillError if the plan has no cells.
    """
    if not plan.cells:
        raise refuse("which", "; ".join(plan.warnings) or "there is no slot in this range")
    with transaction.atomic():
        backfill = _row(plan, created_by)
        backfill.save(force_insert=True)
        with DjangoSession().transaction() as tx:
            tx.copy(COPY_CELLS, _cell_rows(backfill.id, plan.cells))
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
        rule=wish.schedule.rule_text if wish.schedule else _in_words(plan.rule),
        slot_parameter=wish.slot_parameter or "",
        grid={name: list(values) for name, values in wish.grid.items()},
        parameters=wish.common(),
        which=wish.which,
        newest_first=wish.newest_first,
        concurrency=wish.concurrency,
        priority=wish.priority,
        tags=list(wish.tags),
        total=len(plan.cells),
        created_by=dict(created_by) if created_by else None,
    )


def _in_words(rule: SlotRule | None) -> str:
    if rule is None:
        return ""
    return f"{rule.cron} {rule.timezone}" if rule.cron else f"every {rule.interval}"


def _cell_rows(backfill_id: UUID, cells: list[Cell]) -> Iterator[tuple[Any, ...]]:
    for number, cell in enumerate(cells):
        yield uuid7(), backfill_id, number, cell.slot, json_text(cell.parameters)


def pause_backfill(backfill_id: UUID) -> Backfill:
    """Release no more of its cells; what runs goes on. Raises NotPossibleError once it has ended."""
    return _enter(backfill_id, BackfillState.PAUSED)


def resume_backfill(backfill_id: UUID) -> Backfill:
    """Go on after a pause, at once. Raises NotPossibleError once it has ended."""
    _enter(backfill_id, BackfillState.ACTIVE)
    release(backfill_id)
    return Backfill.objects.get(id=backfill_id)


def cancel_backfill(backfill_id: UUID, message: str, *, running_too: bool = False) -> Backfill:
    """Release no more, and cancel its runs that have not started (`running_too`: all that have not ended).

    Raises NotPossibleError once it has ended.
    """
    backfill = _enter(backfill_id, BackfillState.CANCELLED)
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


def _enter(backfill_id: UUID, state: BackfillState) -> Backfill:
    ended = {"finished": Now()} if state == BackfillState.CANCELLED else {}
    open_one = Backfill.objects.filter(id=backfill_id, state__in=OPEN)
    changed = open_one.update(state=state, updated=Now(), **ended)
    backfill: Backfill = Backfill.objects.get(id=backfill_id)
    if not changed:
        raise NotPossibleError(f"The backfill has ended: it is {backfill.get_state_display().lower()}.")
    return backfill
