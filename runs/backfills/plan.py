"""Planning: the cells of a backfill, in the order in which they are to run. Writes nothing.

What comes to more than some thousand cells is looked at from both ends here, and drawn to its end by a
service (`runs.backfills.planning`), so that nobody waits for it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

import orjson
from django.conf import settings

from flows.catalog.clocks import ScheduleError
from flows.catalog.json_text import json_text
from runs.backfills import wish as wishes
from runs.backfills.cells import MOST_SLOTS, Cell, Drawer, Place, Range
from runs.backfills.wish import Wish, refuse
from runs.models import Backfill, FlowRun
from runs.models.backfill import OPEN, Which
from runs.models.flow_run import TERMINAL, StateType

SHOWN = 20
AT_ONCE = 10_000
FAILED = frozenset({StateType.FAILED, StateType.CRASHED})


@dataclass(frozen=True, slots=True)
class Plan:
    """What a wish comes to: all of its cells, or (`is_whole` False) the first and the last of them.

    `count` is how many cells there are, about if it is not whole; `left_out` are those of the cells looked
    at that `which` does not want.
    """

    wish: Wish
    within: Range | None
    cells: list[Cell]
    last: list[Cell]
    is_whole: bool
    count: int
    left_out: int
    warnings: list[str]

    @property
    def start(self) -> datetime | None:
        """The earliest slot; None without cells or slots."""
        return min(filter(None, (cell.slot for cell in self._ends())), default=None)

    @property
    def end(self) -> datetime | None:
        """The latest slot."""
        return max(filter(None, (cell.slot for cell in self._ends())), default=None)

    def _ends(self) -> list[Cell]:
        return [*self.cells[:1], *self.cells[-1:], *self.last[-1:]]

    @property
    def first(self) -> list[Cell]:
        return self.cells[:SHOWN]


def plan(wish: Wish, now: datetime) -> Plan:
    """The cells that `wish` names at `now`. Raises BackfillError."""
    wish = wishes.completed(wish)
    wishes.check(wish)
    within = _range(wish, now)
    drawer = Drawer(wish, within)
    _check_size(drawer)
    try:
        cells, place = drawer.draw(Place(), AT_ONCE + 1)  # one more tells whether these are all
        behind, _ = ([], place) if place.is_end else _from_the_end(drawer)
    except (ScheduleError, OverflowError) as error:
        raise refuse("schedule", str(error)) from error
    if cells:
        wishes.check_parameters(wish, cells[0].parameters)
    wanted = still_wanted(wish, cells)
    count, left_out = len(wanted), len(cells) - len(wanted)
    if not place.is_end:
        count, behind = _about(drawer, cells, place), still_wanted(wish, behind)
    last = behind if not place.is_end else wanted[max(SHOWN, len(wanted) - SHOWN) :]
    is_cut = within is not None and within.end == now
    warnings = [] if place.is_end else list(_warnings_of_many(len(cells), count))
    warnings += _warnings(wish, len(cells), left_out, place.is_end, is_cut)
    return Plan(wish, within, wanted, last, place.is_end, count, left_out, warnings)


def _range(wish: Wish, now: datetime) -> Range | None:
    if not wish.has_slots:
        return None
    rule = wishes.rule_of_wish(wish)
    start, end = wishes.bounds(wish, rule, now)
    return Range(rule, start, end, *wishes.calendar_of(wish))


def _check_size(drawer: Drawer) -> None:
    """Refuse at once what is known without counting. Planning stops at what turns out to be too much."""
    slots, within = 1, drawer.within
    if within is not None and within.rule.interval:
        slots = int((within.end - within.start) / within.rule.interval)
        if slots > MOST_SLOTS:
            raise refuse("end", f"the range has more than {MOST_SLOTS:,} slots; take a shorter one")
    is_sure = within is None or not within.calendar_id
    if drawer.points * (slots if is_sure else 1) > settings.PORTAL_BACKFILL_MOST_RUNS:
        raise too_many()


def too_many() -> wishes.BackfillError:
    most: int = settings.PORTAL_BACKFILL_MOST_RUNS
    return refuse(
        "end",
        f"this is more than {most:,} runs, the most that one backfill may have. Take a shorter range or "
        "fewer values, or raise PORTAL_BACKFILL_MOST_RUNS",
    )


def _from_the_end(drawer: Drawer) -> tuple[list[Cell], Place]:
    """The last cells, in the order of their runs."""
    turned = replace(drawer.wish, newest_first=not drawer.wish.newest_first)
    cells, place = Drawer(turned, drawer.within).draw(Place(), SHOWN)
    return cells[SHOWN - 1 :: -1], place


def _about(drawer: Drawer, cells: list[Cell], place: Place) -> int:
    """How many cells there are, if the rest is as dense as what was looked at."""
    if drawer.within is None:
        return drawer.points
    return round(len(cells) / max(drawer.share(place), 1e-9))


class _Tried(NamedTuple):
    """What became of the runs that a cell had so far."""

    settled: set[str]  # completed, or under way
    failed: set[str]


def still_wanted(wish: Wish, cells: list[Cell]) -> list[Cell]:
    """Those that `which` wants."""
    if wish.which == Which.ALL or not cells:
        return cells
    tried = _tried(wish, cells)
    base = {**wish.deployment.parameters, **wish.common()}
    wanted = []
    for cell in cells:
        key = _key(wish, cell.slot, {**base, **cell.parameters})
        if key not in tried.settled and (wish.which == Which.MISSING or key in tried.failed):
            wanted.append(cell)
    return wanted


def _tried(wish: Wish, cells: list[Cell]) -> _Tried:
    """Reads the deployment's runs of these slots; without slots, all of its runs."""
    runs = FlowRun.objects.filter(deployment=wish.deployment)
    ends = [slot for slot in (cells[0].slot, cells[-1].slot) if slot is not None]
    if ends:
        runs = runs.filter(slot__gte=min(ends), slot__lte=max(ends))
    tried = _Tried(set(), set())
    for slot, parameters, state in runs.values_list("slot", "parameters", "state_type").iterator(5000):
        if state in FAILED:
            tried.failed.add(_key(wish, slot, parameters))
        elif state == StateType.COMPLETED or state not in TERMINAL:
            tried.settled.add(_key(wish, slot, parameters))
    return tried


def _key(wish: Wish, slot: datetime | None, parameters: Mapping[str, Any]) -> str:
    """What makes two runs the same: the slot and the grid's parameters; without slots, all parameters."""
    if not wish.has_slots:
        return json_text(parameters, orjson.OPT_SORT_KEYS)
    return json_text([slot, [parameters.get(name) for name in wish.grid]], orjson.OPT_SORT_KEYS, str)


def _warnings_of_many(looked_at: int, about: int) -> Iterable[str]:
    yield f"It has more than {looked_at:,} runs: it is planned in the background, and begins after that."
    most = settings.PORTAL_BACKFILL_MOST_RUNS
    if about > most:
        yield f"One backfill may have {most:,} runs: if it really has more, it is given up."


def _warnings(wish: Wish, count: int, left_out: int, is_whole: bool, is_cut: bool) -> Iterable[str]:
    deployment = wish.deployment
    if left_out:
        what = "completed already or are under way"
        if wish.which == Which.FAILED:
            what += ", or were never tried"
        of = f"{count:,}" if is_whole else f"the first {count:,}"
        yield f"{left_out:,} of {of} are left out: they {what}."
    if is_cut:
        yield "The range ends ahead of now. Slots that have not passed are left to the schedule."
    if wish.has_slots and not wish.slot_parameter:
        yield "No parameter gets the slot: the flow finds it in runtime.flow_run.scheduled_start_time."
    if deployment.paused:
        yield "The deployment is paused: the runs wait until it is resumed."
    if Backfill.objects.filter(deployment=deployment, state__in=OPEN).exists():
        yield "This deployment has another backfill that has not ended."
