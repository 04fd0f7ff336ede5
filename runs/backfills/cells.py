"""Drawing the cells of a backfill, some at a time: from either end of its range, and on from there."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime, timedelta
from itertools import islice, takewhile
from math import ceil, prod
from typing import Any, NamedTuple, Self
from uuid import UUID
from zoneinfo import ZoneInfo

from flows.catalog.calendars import open_times
from flows.catalog.occurrences import Occurrence, Plan, occurrences
from flows.catalog.slots import SlotRule
from flows.models import Calendar
from runs.backfills import wish as wishes
from runs.backfills.wish import SMALLEST_STEP, Wish, refuse

# Slots that a calendar leaves out count, too: looking at one takes some 20 µs.
MOST_LOOKED_AT = 50_000
MOST_SLOTS = 5_000_000  # of a range
FIRST_SPAN = timedelta(hours=1)


class Cell(NamedTuple):
    """One run that is wanted; `parameters` are those that it does not share with the others."""

    slot: datetime | None
    parameters: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Range:
    """The slots from `start` to `end`, both included, of a rule and the calendar with this id.

    It is kept with the backfill: a schedule that is changed meanwhile changes nothing.
    """

    rule: SlotRule
    start: datetime
    end: datetime
    calendar_id: UUID | None = None
    moves: bool = False

    def plan(self) -> Plan:
        """Raises Calendar.DoesNotExist."""
        calendar = open_times(Calendar.objects.get(id=self.calendar_id)) if self.calendar_id else None
        return Plan(self.rule, calendar, self.moves)

    def as_json(self) -> dict[str, Any]:
        interval = self.rule.interval
        rule = {**asdict(self.rule), "anchor": self.rule.anchor.isoformat()}
        rule["interval"] = None if interval is None else interval.total_seconds()
        return {
            "rule": rule,
            "start": self.start.isoformat(),
            "end": self.end.isoformat(),
            "calendar_id": str(self.calendar_id) if self.calendar_id else None,
            "moves": self.moves,
        }

    @classmethod
    def of_json(cls, given: Mapping[str, Any]) -> Self:
        rule = dict(given["rule"])
        rule["anchor"] = datetime.fromisoformat(rule["anchor"])
        rule["interval"] = None if rule["interval"] is None else timedelta(seconds=rule["interval"])
        calendar_id = UUID(given["calendar_id"]) if given["calendar_id"] else None
        start, end = (datetime.fromisoformat(given[name]) for name in ("start", "end"))
        return cls(SlotRule(**rule), start, end, calendar_id, given["moves"])


@dataclass(frozen=True, slots=True)
class Place:
    """How far drawing has come. `slot`: up to here, or from here on if the newest come first, slots are done.

    `looked_at` counts slots, `point` cells of a grid without slots. `seconds`: how far back to look next.
    """

    slot: datetime | None = None
    point: int = 0
    looked_at: int = 0
    seconds: float = FIRST_SPAN.total_seconds()
    is_end: bool = False

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "slot": self.slot.isoformat() if self.slot else None}

    @classmethod
    def of_json(cls, given: Mapping[str, Any]) -> Self:
        slot = datetime.fromisoformat(given["slot"]) if given["slot"] else None
        return cls(**{**{each.name: given[each.name] for each in fields(cls)}, "slot": slot})


@dataclass(slots=True)
class Drawer:
    """Draws the cells that a wish names, those of `which` it does not want among them.

    `within` is None for a grid without slots.
    """

    wish: Wish
    within: Range | None
    plan: Plan | None = field(init=False)

    def __post_init__(self) -> None:
        self.plan = self.within.plan() if self.within else None

    @property
    def points(self) -> int:
        """How many combinations the grid has."""
        return prod(len(values) for values in self.wish.grid.values())

    def draw(self, place: Place, most: int) -> tuple[list[Cell], Place]:
        """About `most` cells in the order of their runs, and the place behind them. Raises BackfillError."""
        if self.within is None or self.plan is None:
            return self._of_grid(place, most)
        if place.looked_at > MOST_SLOTS:
            raise refuse("end", f"the range has more than {MOST_SLOTS:,} slots; take a shorter one")
        most_slots = ceil(most / self.points)
        look = self._before if self.wish.newest_first else self._behind
        found, then = look(self.plan, self.within, place, most_slots)
        slots = [each.slot for each in found if each.at is not None]
        cells = list(self._of_slots(slots, self.within.rule))
        return (cells[::-1] if self.wish.newest_first else cells), then

    def share(self, place: Place) -> float:
        """How much of the whole lies before the place, from 0 to 1."""
        if place.is_end:
            return 1.0
        if self.within is None:
            return place.point / self.points
        start, end = self.within.start, self.within.end
        slot = place.slot or (end if self.wish.newest_first else start)
        passed = end - slot if self.wish.newest_first else slot - start
        return max(0.0, min(1.0, passed / max(end - start, SMALLEST_STEP)))

    def _behind(self, plan: Plan, all: Range, place: Place, most: int) -> tuple[list[Occurrence], Place]:
        after = place.slot or all.start - SMALLEST_STEP
        coming = takewhile(lambda each: each.slot <= all.end, occurrences(plan, after))
        found: list[Occurrence] = []
        wanted = 0
        for each in islice(coming, MOST_LOOKED_AT):
            found.append(each)
            wanted += each.at is not None
            if wanted == most:
                break
        is_end = len(found) < MOST_LOOKED_AT and wanted < most
        slot = found[-1].slot if found else after
        return found, replace(place, slot=slot, looked_at=place.looked_at + len(found), is_end=is_end)

    def _before(self, plan: Plan, all: Range, place: Place, most: int) -> tuple[list[Occurrence], Place]:
        """Rules only go forward, so it looks back by a span that adapts to how close the slots are."""
        until, seconds = place.slot or all.end, place.seconds
        while True:
            since = until - min(timedelta(seconds=seconds), until - all.start + SMALLEST_STEP)
            within = takewhile(lambda each: each.slot <= until, occurrences(plan, since))
            found = list(islice(within, MOST_LOOKED_AT + 1))
            if len(found) > MOST_LOOKED_AT:
                seconds /= 4
            elif len(found) < most and since >= all.start:
                seconds *= 4
            else:
                break
        kept = found[-most:]
        behind = since if len(kept) == len(found) else kept[0].slot - SMALLEST_STEP
        looked_at = place.looked_at + len(kept)
        return kept, Place(slot=behind, looked_at=looked_at, seconds=seconds, is_end=behind < all.start)

    def _of_slots(self, slots: list[datetime], rule: SlotRule) -> Iterator[Cell]:
        points = [self._point(number) for number in range(self.points)]
        zone, name = ZoneInfo(rule.timezone), self.wish.slot_parameter
        schema = self.wish.deployment.parameter_openapi_schema
        is_date = wishes.format_of(schema, name or "") == "date"
        for slot in slots:
            local = slot.astimezone(zone)
            own = {name: (local.date() if is_date else local).isoformat()} if name else {}
            yield from (Cell(slot, {**own, **point}) for point in points)

    def _of_grid(self, place: Place, most: int) -> tuple[list[Cell], Place]:
        until = min(place.point + most, self.points)
        numbers = range(place.point, until)
        in_order = (self.points - 1 - number for number in numbers) if self.wish.newest_first else numbers
        cells = [Cell(None, self._point(number)) for number in in_order]
        return cells, Place(point=until, is_end=until == self.points)

    def _point(self, number: int) -> dict[str, Any]:
        """The combination with this number: the last parameter counts fastest."""
        point: dict[str, Any] = {}
        for name, values in reversed(list(self.wish.grid.items())):
            number, index = divmod(number, len(values))
            point[name] = values[index]
        return {name: point[name] for name in self.wish.grid}
