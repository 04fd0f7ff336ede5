"""Occurrences: what becomes of the slots of a schedule under its calendar. Pure."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from flows.catalog.calendars import REACH, OpenTimes, open_times
from flows.catalog.clocks import ScheduleError
from flows.catalog.slots import SlotRule, latest_slot, rule_of, slots, validate
from flows.models import Schedule
from flows.models.schedule import CalendarPolicy

INSTANT = timedelta(microseconds=1)
# A schedule of which not one of so many slots is allowed, is taken for one that never is.
LOOKED_AT = 1000


@dataclass(frozen=True, slots=True)
class Plan:
    """A rule, and the calendar that forbids some of its slots: they are left out, or moved."""

    rule: SlotRule
    calendar: OpenTimes | None = None
    moves: bool = False


@dataclass(frozen=True, slots=True)
class Occurrence:
    """A slot, and when it runs: at itself, later, or (None) never. `reason` says why not at itself."""

    slot: datetime
    at: datetime | None
    reason: str = ""


def plan_of(schedule: Schedule) -> Plan:
    """The plan in a schedule's row; reads its calendar. Raises ScheduleError."""
    calendar = open_times(schedule.calendar) if schedule.calendar else None
    return Plan(rule_of(schedule), calendar, schedule.calendar_policy == CalendarPolicy.MOVE)


def occurrences(plan: Plan, after: datetime) -> Iterator[Occurrence]:
    """Every slot later than `after`, ascending. Of those that come to the same moment, the last one runs."""
    waiting: Occurrence | None = None
    for slot in slots(plan.rule, after):
        found = _judged(plan, slot)
        if waiting is not None:
            same = waiting.at is not None and waiting.at == found.at
            yield Occurrence(waiting.slot, None, _gives_way(waiting, slot)) if same else waiting
        waiting = found
        if plan.calendar is None:  # nothing moves: no need to know the next slot
            yield found
            waiting = None
    if waiting is not None:
        yield waiting


def running_after(plan: Plan, since: datetime) -> Iterator[Occurrence]:
    """Every slot from the first on that may run later than `since`, also those that do not."""
    if plan.moves and plan.calendar and plan.calendar.closed(since):
        # The last slot before may have been moved to after `since`; all others give way to it.
        last = latest_slot(plan.rule, since - REACH, since)
        return occurrences(plan, last - INSTANT if last else since)
    return occurrences(plan, since)


def between(plan: Plan, since: datetime, until: datetime) -> Iterator[Occurrence]:
    """Those that run later than `since` and not later than `until`."""
    for each in running_after(plan, since):
        if each.slot > until:
            return
        if each.at is not None and since < each.at <= until:
            yield each


def newest(plan: Plan, since: datetime, until: datetime, count: int) -> list[Occurrence]:
    """The newest `count` of those between `since` and `until`, ascending."""
    found: deque[Occurrence] = deque(maxlen=count)
    # Looking back in growing steps: a rule by the minute is not walked through a month of outage.
    for back in (timedelta(hours=1), timedelta(days=1), timedelta(days=32), REACH):
        start = max(since, until - back)
        found = deque(between(plan, start, until), maxlen=count)
        if len(found) == count or start == since:
            break
    return list(found)


def check_plan(plan: Plan, now: datetime) -> None:
    """Raise ScheduleError unless the rule can be read and its calendar leaves something of it."""
    validate(plan.rule)
    if plan.calendar is None:
        return
    coming = list(islice(occurrences(plan, now), LOOKED_AT))
    if coming and all(each.at is None for each in coming):
        raise ScheduleError(
            f"Calendar '{plan.calendar.name}' leaves none of the next {len(coming)} times of this schedule, "
            f"from {coming[0].slot:%Y-%m-%d} to {coming[-1].slot:%Y-%m-%d}: {coming[0].reason}."
        )


def _judged(plan: Plan, slot: datetime) -> Occurrence:
    closed = plan.calendar.closed(slot) if plan.calendar else None
    if plan.calendar is None or closed is None:
        return Occurrence(slot, slot)
    return Occurrence(slot, plan.calendar.next_open(slot) if plan.moves else None, closed[1])


def _gives_way(moved: Occurrence, to: datetime) -> str:
    return f"{moved.reason}; the slot of {to:%Y-%m-%d %H:%M} UTC runs instead"
