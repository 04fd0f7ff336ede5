"""Planning large backfills in the background: chunk by chunk, each a transaction.

A chunk stores its cells and the place behind them together, under the lock of the backfill's row: whoever is
killed in between leaves nothing of it, and the next one goes on from the place.
"""

import logging
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ObjectDoesNotExist
from django.db import transaction
from django.db.models.functions import Now

from flows.catalog.clocks import ScheduleError
from flows.catalog.json_text import json_text
from flows.sdk.ids import uuid7
from runs.backfills.cells import Cell, Drawer, Place, Range
from runs.backfills.plan import still_wanted, too_many
from runs.backfills.release import release_in
from runs.backfills.wish import BackfillError, Wish
from runs.models import Backfill, BackfillCell
from runs.models.backfill import BackfillState, Which
from runs.session import DjangoSession, Transaction

logger = logging.getLogger(__name__)

CHUNK = 5_000
# Each chunk of a grid without slots reads all runs of its deployment, unless all cells are wanted.
CHUNK_OF_TRIED = 50_000
COPY_CELLS = "COPY runs_backfillcell (id, backfill_id, number, slot, parameters) FROM STDIN"


def to_be_planned(within: Range | None) -> dict[str, Any]:
    """What a backfill keeps until it is planned: its range, and the place from where to go on."""
    return {"within": within.as_json() if within else None, "place": Place().as_json()}


def add_cells(tx: Transaction, backfill_id: UUID, first: int, cells: Sequence[Cell]) -> None:
    """Store cells, numbered from `first` on."""
    tx.copy(COPY_CELLS, _rows(backfill_id, first, cells))


def _rows(backfill_id: UUID, first: int, cells: Sequence[Cell]) -> Iterator[tuple[Any, ...]]:
    for number, cell in enumerate(cells, start=first):
        yield uuid7(), backfill_id, number, cell.slot, json_text(cell.parameters)


def plan_next_chunk() -> bool:
    """Go on with the backfill that waits longest for it; whether there was one.

    Several may do this at once: each takes another backfill.
    """
    with transaction.atomic():
        waiting = Backfill.objects.filter(state=BackfillState.PLANNING).order_by("updated")
        locked = waiting.select_for_update(skip_locked=True, of=("self",)).select_related("deployment")
        backfill = locked.first()
        if backfill is None:
            return False
        try:
            _plan_chunk(backfill)
        except (BackfillError, ScheduleError, OverflowError, ObjectDoesNotExist) as error:
            _stop(backfill, str(error))
    return True


def _plan_chunk(backfill: Backfill) -> None:
    drawer, place = _drawer(backfill), Place.of_json((backfill.planning or {})["place"])
    is_read_whole = drawer.within is None and backfill.which != Which.ALL
    cells, then = drawer.draw(place, CHUNK_OF_TRIED if is_read_whole else CHUNK)
    wanted = still_wanted(drawer.wish, cells)
    total = backfill.total + len(wanted)
    if total > settings.PORTAL_BACKFILL_MOST_RUNS:
        raise too_many()
    with DjangoSession().transaction() as tx:
        add_cells(tx, backfill.id, backfill.total, wanted)
        backfill.total = total
        if then.is_end:
            _begin(tx, backfill)
        else:
            backfill.planning = {**(backfill.planning or {}), "place": then.as_json()}
            backfill.planned_percent = int(100 * drawer.share(then))
            backfill.save(update_fields=["total", "planning", "planned_percent", "updated"])


def _drawer(backfill: Backfill) -> Drawer:
    kept = (backfill.planning or {})["within"]
    within = Range.of_json(kept) if kept else None
    wish = Wish(
        backfill.deployment,
        start=within.start if within else None,
        end=within.end if within else None,
        grid=backfill.grid,
        parameters=backfill.parameters,
        slot_parameter=backfill.slot_parameter,
        which=Which(backfill.which),
        newest_first=backfill.newest_first,
    )
    return Drawer(wish, within)


def _begin(tx: Transaction, backfill: Backfill) -> None:
    """All cells are there: the first of them become runs."""
    backfill.planning, backfill.planned_percent = None, 100
    backfill.state = BackfillState.ACTIVE
    if backfill.total:
        numbers = (0, backfill.total - 1)
        ends = BackfillCell.objects.filter(backfill=backfill, number__in=numbers).values_list(
            "slot", flat=True
        )
        slots = sorted(slot for slot in ends if slot is not None)
        if slots:
            backfill.start, backfill.end = slots[0], slots[-1]
    else:
        backfill.message = "Nothing was left to run: all of it was left out."
    backfill.save()
    release_in(tx, backfill.id)


def _stop(backfill: Backfill, why: str) -> None:
    """It cannot be planned to its end: none of it runs."""
    logger.warning("Backfill %s cannot be planned: %s", backfill.id, why)
    BackfillCell.objects.filter(backfill=backfill).delete()
    ended = {"state": BackfillState.CANCELLED, "finished": Now(), "planning": None, "updated": Now()}
    Backfill.objects.filter(id=backfill.id).update(
        **ended, total=0, message=f"It could not be planned: {why}."
    )
