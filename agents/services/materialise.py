"""Materialising: schedules become flow runs ahead of time.

- Per schedule, the next three slots exist as runs, or those of the next hour if that is more (at most 100).
- A run that nobody started yet follows its schedule: it goes when the schedule or its deployment is
  changed, paused or deleted, and comes back by the new rule.
- Of the slots that passed while no scheduler ran, only the latest is made up for.
"""

import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from uuid import UUID

from django.db.models import Q

from agents.models import ServiceStatus
from agents.services.database import alone
from flows.catalog.slots import ScheduleError, SlotRule, latest_slot, rule_of, slots
from flows.models import Schedule
from runs.create import NewRun, insert_runs
from runs.models import FlowRun
from runs.models.flow_run import StateType
from runs.session import DjangoSession

logger = logging.getLogger(__name__)

NAME = "materialise"
AHEAD = timedelta(hours=1)
FEWEST, MOST = 3, 100
BATCH = 500
# What exists ahead covers shorter absences of the scheduler.
AWAY = timedelta(seconds=30)

NOT_STARTED = Q(state_type=StateType.SCHEDULED, lease_expires=None)


def materialise(now: datetime) -> None:
    """One step of the loop."""
    with alone(NAME) as mine:
        if not mine:
            return
        remove_unwanted(now)
        since = last_tick() or now
        for batch in _active_schedules():
            bring_up_to_date(batch, now, since)


def last_tick() -> datetime | None:
    """When a scheduler, wherever it ran, last did this."""
    ticks = ServiceStatus.objects.filter(name=NAME, last_success__isnull=False)
    return ticks.order_by("-last_success").values_list("last_success", flat=True).first()


def remove_unwanted(now: datetime) -> None:
    """Delete coming runs whose schedule is deleted or inactive, or whose deployment is paused."""
    coming = FlowRun.objects.filter(NOT_STARTED, slot__gt=now, expected_start_time__gt=now)
    unwanted = coming.filter(Q(schedule=None) | Q(schedule__active=False) | Q(deployment__paused=True))
    _delete(list(unwanted.values_list("id", flat=True)[: BATCH * FEWEST]))


def bring_up_to_date(schedules: Sequence[Schedule], now: datetime, since: datetime) -> None:
    """Delete the runs that these schedules no longer want and create those that are missing."""
    coming = _coming_runs(schedules, now)
    stale: list[UUID] = []
    news: list[NewRun] = []
    for schedule in schedules:
        try:
            wanted = wanted_slots(schedule, now, since)
        except ScheduleError as error:
            _complain(schedule.id, str(error))
            continue
        runs = coming[schedule.id]
        outdated = {slot for slot, run in runs.items() if _is_outdated(run, schedule, wanted)}
        stale += [runs[slot].id for slot in outdated]
        news += [_new_run(schedule, slot) for slot in sorted(wanted - (runs.keys() - outdated))]
    _delete(stale)
    insert_runs(DjangoSession(), news)


def wanted_slots(schedule: Schedule, now: datetime, since: datetime) -> set[datetime]:
    """The slots for which runs must exist: those ahead, and the latest that was missed."""
    rule = rule_of(schedule)
    wanted = {slot for slot in _ahead(rule, now.replace(second=0, microsecond=0)) if slot > now}
    if now - since > AWAY:
        missed = latest_slot(rule, max(since, schedule.updated), now)
        if missed is not None:
            wanted.add(missed)
    return wanted


@lru_cache(maxsize=20_000)
def _ahead(rule: SlotRule, minute: datetime) -> tuple[datetime, ...]:
    """The coming slots. Worked out once a minute, since most schedules change far less often."""
    ahead: list[datetime] = []
    for slot in slots(rule, minute, count=MOST):
        if len(ahead) >= FEWEST and slot > minute + AHEAD:
            break
        ahead.append(slot)
    return tuple(ahead)


def _active_schedules() -> Iterator[list[Schedule]]:
    active = Schedule.objects.filter(active=True, deployment__paused=False)
    ordered = active.select_related("deployment").order_by("id")
    batch = list(ordered[:BATCH])
    while batch:
        yield batch
        batch = list(ordered.filter(id__gt=batch[-1].id)[:BATCH])


def _coming_runs(schedules: Sequence[Schedule], now: datetime) -> dict[UUID, dict[datetime, FlowRun]]:
    """Per schedule, its runs by slot from here on, whatever became of them."""
    runs: dict[UUID, dict[datetime, FlowRun]] = defaultdict(dict)
    fields = ("id", "schedule_id", "slot", "created", "state_type", "lease_expires")
    for run in FlowRun.objects.filter(schedule__in=schedules, slot__gt=now).only(*fields):
        if run.schedule_id and run.slot:
            runs[run.schedule_id][run.slot] = run
    return runs


def _is_outdated(run: FlowRun, schedule: Schedule, wanted: set[datetime]) -> bool:
    """Whether a run that nobody started was made by an older rule, or with older parameters."""
    if run.state_type != StateType.SCHEDULED or run.lease_expires is not None:
        return False
    return run.slot not in wanted or run.created < max(schedule.updated, schedule.deployment.updated)


def _new_run(schedule: Schedule, slot: datetime) -> NewRun:
    return NewRun.of(
        schedule.deployment,
        parameters=schedule.parameters,
        schedule_id=schedule.id,
        slot=slot,
        scheduled_time=slot,
        created_by={"type": "SCHEDULE", "id": str(schedule.id), "display_value": str(schedule)},
    )


def _delete(run_ids: list[UUID]) -> None:
    """Delete runs, except those that somebody started in the meantime."""
    if run_ids:
        FlowRun.objects.filter(NOT_STARTED, id__in=run_ids).delete()


@lru_cache(maxsize=1000)
def _complain(schedule_id: UUID, error: str) -> None:
    """Log once per schedule and error; the other schedules go on."""
    logger.warning("Schedule %s makes no runs: %s", schedule_id, error)
