"""What a schedule will do: its next slots, and what is skipped, moved or odd about them. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from flows.catalog.clocks import zone_named
from flows.catalog.occurrences import Occurrence, Plan, occurrences

COUNT, MOST = 20, 200
# At most so many of the skipped are shown on the way to the next that runs.
LOOKED_AT = 10


@dataclass(frozen=True, slots=True)
class Coming:
    """One slot: `at` is when it runs (None: never), `why` why not at the slot, `remark` about the clock."""

    slot: datetime
    at: datetime | None
    clock: str
    why: str
    remark: str

    @property
    def is_moved(self) -> bool:
        return self.at is not None and self.at != self.slot


def preview(plan: Plan, after: datetime, count: int = COUNT) -> list[Coming]:
    """The next `count` slots later than `after`, those that do not run among them. Raises ScheduleError."""
    zone = zone_named(plan.rule.timezone)
    found: list[Coming] = []
    before = after
    for each in islice(occurrences(plan, after), count):
        found.append(_seen(each, before, zone))
        before = each.slot
    return found


def merged(previews: Iterable[list[Coming]], count: int = COUNT) -> list[Coming]:
    """The next `count` of several schedules."""
    return sorted((each for one in previews for each in one), key=lambda each: each.at or each.slot)[:count]


def _seen(each: Occurrence, before: datetime, zone: ZoneInfo) -> Coming:
    runs = each.at or each.slot
    seconds = ":%S" if runs.second else ""
    clock = runs.astimezone(zone).strftime(f"%a %Y-%m-%d %H:%M{seconds} %Z")
    return Coming(each.slot, each.at, clock, each.reason, _remark(each.slot, before, zone))


def _remark(slot: datetime, before: datetime, zone: ZoneInfo) -> str:
    """What the change of a clock does to this slot, or did since the one before."""
    now, then = slot.astimezone(zone), before.astimezone(zone)
    just_before = (slot - timedelta(seconds=1)).astimezone(zone)
    jump = (now.utcoffset() or timedelta()) - (just_before.utcoffset() or timedelta())
    if jump > timedelta():
        return f"the clock is put forward: {_time(now - jump)} to {_time(now)} do not exist"
    other = now.replace(fold=1 - now.fold)
    if other.utcoffset() != now.utcoffset() and other.astimezone(UTC) != slot:
        return f"{'second' if now.fold else 'first'} time that the clock shows {_time(now)} on this day"
    if now.utcoffset() != then.utcoffset():
        return f"the clock has changed from {_offset(then)} to {_offset(now)}"
    return ""


def _time(moment: datetime) -> str:
    return f"{moment:%H:%M}"


def _offset(moment: datetime) -> str:
    text = f"{moment:%z}"
    return f"UTC{text[:3]}:{text[3:5]}"
