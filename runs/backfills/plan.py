"""Planning: the cells of a backfill, in the order in which they are to run. Writes nothing."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from math import prod
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import orjson
from django.conf import settings

from flows.catalog.json_text import json_text
from flows.catalog.slots import SlotRule
from runs.backfills import wish as wishes
from runs.backfills.wish import Wish, refuse
from runs.models import Backfill, FlowRun
from runs.models.backfill import OPEN, Which
from runs.models.flow_run import TERMINAL, StateType

SHOWN = 20
FAILED = frozenset({StateType.FAILED, StateType.CRASHED})


class Cell(NamedTuple):
    """One run that is wanted; `parameters` are those that it does not share with the others."""

    slot: datetime | None
    parameters: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a wish comes to. `left_out` counts the cells that `which` does not want."""

    wish: Wish
    cells: list[Cell]
    rule: SlotRule | None
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
        return [*self.cells[:1], *self.cells[-1:]]

    @property
    def first(self) -> list[Cell]:
        return self.cells[:SHOWN]

    @property
    def last(self) -> list[Cell]:
        """The last cells that are not among the first."""
        return self.cells[max(SHOWN, len(self.cells) - SHOWN) :]


def plan(wish: Wish, now: datetime) -> Plan:
    """The cells that `wish` names at `now`. Raises BackfillError."""
    wish = wishes.completed(wish)
    wishes.check(wish)
    most = settings.PORTAL_BACKFILL_MOST_RUNS
    points = prod(len(values) for values in wish.grid.values())
    if points > most:
        raise _too_many(most)
    rule = wishes.rule_of_wish(wish) if wish.has_slots else None
    slots = wishes.slots_of(wish, rule, now, most // points) if rule else None
    if slots is not None and len(slots) * points > most:
        raise _too_many(most)
    cells = list(_cells(wish, slots, rule))
    if cells:
        wishes.check_parameters(wish, cells[0].parameters)
    wanted = cells if wish.which == Which.ALL else [*_still_wanted(wish, cells)]
    if wish.newest_first:
        wanted.reverse()
    left_out = len(cells) - len(wanted)
    is_cut = rule is not None and wishes.bounds(wish, rule, now)[1] == now
    return Plan(wish, wanted, rule, left_out, [*_warnings(wish, len(wanted), left_out, is_cut)])


def _too_many(most: int) -> wishes.BackfillError:
    return refuse(
        "end",
        f"this is more than {most:,} runs, the most that one backfill may have. Take a shorter range or "
        "fewer values, or raise PORTAL_BACKFILL_MOST_RUNS",
    )


def _cells(wish: Wish, slots: list[datetime] | None, rule: SlotRule | None) -> Iterator[Cell]:
    names = list(wish.grid)
    points = [dict(zip(names, values, strict=True)) for values in product(*wish.grid.values())]
    if slots is None or rule is None:
        yield from (Cell(None, point) for point in points)
        return
    zone, name = ZoneInfo(rule.timezone), wish.slot_parameter
    is_date = wishes.format_of(wish.deployment.parameter_openapi_schema, name or "") == "date"
    for slot in slots:
        local = slot.astimezone(zone)
        own = {name: (local.date() if is_date else local).isoformat()} if name else {}
        yield from (Cell(slot, {**own, **point}) for point in points)


class _Tried(NamedTuple):
    """What became of the runs that a cell had so far."""

    settled: set[str]  # completed, or under way
    failed: set[str]


def _still_wanted(wish: Wish, cells: list[Cell]) -> Iterator[Cell]:
    if not cells:
        return
    tried = _tried(wish, cells)
    base = {**wish.deployment.parameters, **wish.common()}
    for cell in cells:
        key = _key(wish, cell.slot, {**base, **cell.parameters})
        if key not in tried.settled and (wish.which == Which.MISSING or key in tried.failed):
            yield cell


def _tried(wish: Wish, cells: list[Cell]) -> _Tried:
    """Reads the deployment's runs of these slots; without slots, all of its runs."""
    runs = FlowRun.objects.filter(deployment=wish.deployment)
    if cells[0].slot is not None:
        runs = runs.filter(slot__gte=cells[0].slot, slot__lte=cells[-1].slot)
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


def _warnings(wish: Wish, count: int, left_out: int, is_cut: bool) -> Iterable[str]:
    deployment = wish.deployment
    if left_out:
        what = "completed already or are under way"
        if wish.which == Which.FAILED:
            what += ", or were never tried"
        yield f"{left_out:,} of {count + left_out:,} are left out: they {what}."
    if is_cut:
        yield "The range ends ahead of now. Slots that have not passed are left to the schedule."
    if wish.has_slots and not wish.slot_parameter:
        yield "No parameter gets the slot: the flow finds it in runtime.flow_run.scheduled_start_time."
    if deployment.paused:
        yield "The deployment is paused: the runs wait until it is resumed."
    if Backfill.objects.filter(deployment=deployment, state__in=OPEN).exists():
        yield "This deployment has another backfill that has not ended."
