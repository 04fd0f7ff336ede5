"""Occurrences: what becomes of the slots of a schedule under its calendar. Pure."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

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
    found = slots(plan.rule, after)
    calendar = plan.calendar
    if calendar is None:
        return (Occurrence(slot, slot) for slot in found)
    return _last_of_each_moment(_judged(calendar, plan.moves, slot) for slot in found)


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
    calendar = plan.calendar
    if calendar is None:
        return
    refused: list[Occurrence] = []
    while len(refused) < LOOKED_AT:
        slot = next(slots(plan.rule, now), None)
        if slot is None:
            break
        each = _judged(calendar, plan.moves, slot)
        if each.at is not None:
            return
        refused.append(each)
        # From one closed time to the next: a rule by the minute has a thousand slots in one Sunday.
        until, _ = calendar.closed(slot) or (slot, "")
        now = max(slot, until - INSTANT)
    if refused:
        first, last = refused[0], refused[-1]
        raise ScheduleError(
            f"Calendar '{calendar.name}' (on the clock of {calendar.zone.key}) leaves nothing of this "
            f"schedule from {first.slot:%Y-%m-%d} to {last.slot:%Y-%m-%d}: {first.reason}."
        )


def _judged(calendar: OpenTimes, moves: bool, slot: datetime) -> Occurrence:
    closed = calendar.closed(slot)
    if closed is None:
        return Occurrence(slot, slot)
    return Occurrence(slot, calendar.next_open(slot) if moves else None, closed[1])


def _last_of_each_moment(found: Iterator[Occurrence]) -> Iterator[Occurrence]:
    """The same ones; those that come to the moment of the next one give way to it."""
    waiting = next(found, None)
    for each in found:
        assert waiting is not None
        gives_way = waiting.at is not None and waiting.at == each.at
        instead = f"{waiting.reason}; the slot of {each.slot:%Y-%m-%d %H:%M} UTC runs instead"
        yield replace(waiting, at=None, reason=instead) if gives_way else waiting
        waiting = each
    if waiting is not None:
        yield waiting
