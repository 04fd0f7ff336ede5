"""What a run that is not due yet waits for: its schedule, or the calendar that has moved it."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from flows.catalog.calendars import open_times
from flows.catalog.clocks import ScheduleError, zone_named
from flows.models import Schedule
from flows.models.schedule import CalendarPolicy
from runs.models import FlowRun


class NotDue(NamedTuple):
    """A code of `waiting_on`, its text, and what it links to (a kind and an id)."""

    code: str
    text: str
    link: tuple[str, UUID] | None


def not_due(run: FlowRun, schedule: Schedule | None, when: str) -> NotDue:
    """Why `run` of `schedule` is not due; `when` says in UTC when it will be."""
    if schedule is None or run.slot is None:
        return NotDue("not_due_yet", f"It is due at {when}.", None)
    due = f"It is due at {when}"
    if schedule.timezone != "UTC":
        due += f" ({_clock(run.expected_start_time, schedule.timezone)})"
    if run.slot != run.expected_start_time and schedule.calendar_policy == CalendarPolicy.MOVE:
        why = _why_closed(schedule, run.slot)
        if schedule.calendar and why:
            text = f"Its slot, {_clock(run.slot, schedule.timezone)}, is forbidden: {why}. {due}."
            return NotDue("blocked_by_calendar", text, ("calendar", schedule.calendar.id))
    name = f"schedule '{schedule.slug}' ({schedule.rule_text})" if schedule.slug else f"schedule {schedule}"
    return NotDue("not_due_yet", f"{due}, by {name}.", ("schedule", schedule.id))


def _clock(moment: datetime, zone: str) -> str:
    """A moment on the clock of the schedule's zone."""
    try:
        return f"{moment.astimezone(zone_named(zone)):%a %Y-%m-%d %H:%M} in {zone}"
    except ScheduleError:
        return zone


def _why_closed(schedule: Schedule, slot: datetime) -> str:
    try:
        closed = open_times(schedule.calendar).closed(slot) if schedule.calendar else None
    except ScheduleError:
        return ""
    return closed[1] if closed else ""
