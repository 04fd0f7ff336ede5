"""Materialising: schedules become flow runs ahead of time.

- Per schedule, the next three slots exist as runs, or those of the next hour if that is more (at most 100).
- A run that nobody started yet follows its schedule: it goes when the schedule or its deployment is
  changed, paused or deleted, and comes back by the new rule.
- Of the slots that passed while no scheduler ran, only the latest is made up for.
"""

import logging
from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
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


class Materialiser:
    """Remembers which schedules have nothing to do before the next minute."""

    def __init__(self) -> None:
        self._settled: dict[UUID, Hashable] = {}

    def step(self, now: datetime) -> None:
        """One step of the loop; a transaction for every 500 schedules."""
        with alone(NAME) as mine:
            if not mine:
                return
            remove_unwanted(now)
        since = last_tick() or now
        settled: dict[UUID, Hashable] = {}
        for batch in _active_schedules():
            marks = {schedule.id: _mark(schedule, now) for schedule in batch}
            unsettled = [
                schedule for schedule in batch if self._settled.get(schedule.id) != marks[schedule.id]
            ]
            with alone(NAME) as mine:
                if not mine:
                    return
                bring_up_to_date(unsettled, now, since)
            settled |= marks
        self._settled = settled


def _mark(schedule: Schedule, now: datetime) -> Hashable:
    """What decides which runs a schedule wants: as long as it stays the same, so do they."""
    return rule_of(schedule), schedule.updated, schedule.deployment.updated, _minute(now)


def _minute(now: datetime) -> datetime:
    return now.replace(second=0, microsecond=0)


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
    if not schedules:
        return
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
    wanted = {slot for slot in _ahead(rule, _minute(now)) if slot > now}
    if now - since > AWAY:
        missed = latest_slot(rule, max(since, schedule.updated), now)
        if missed is not None:
            wanted.add(missed)
    return wanted


def _ahead(rule: SlotRule, minute: datetime) -> list[datetime]:
    """The coming slots: the same ones during the whole minute."""
    ahead: list[datetime] = []
    for slot in slots(rule, minute, count=MOST):
        if len(ahead) >= FEWEST and slot > minute + AHEAD:
            break
        ahead.append(slot)
    return ahead


def _active_schedules() -> Iterator[list[Schedule]]:
    active = Schedule.objects.filter(active=True, deployment__paused=False)
    ordered = active.select_related("deployment").order_by("id")
    batch = list(ordered[:BATCH])
    while batch:
        yield batch
        batch = list(ordered.filter(id__gt=batch[-1].id)[:BATCH])


class Coming(NamedTuple):
    """A run of a slot that lies ahead, whatever became of it."""

    schedule_id: UUID
    slot: datetime
    id: UUID
    created: datetime
    state_type: str
    lease_expires: datetime | None


def _coming_runs(schedules: Sequence[Schedule], now: datetime) -> dict[UUID, dict[datetime, Coming]]:
    """Per schedule, the runs of its coming slots."""
    runs: dict[UUID, dict[datetime, Coming]] = defaultdict(dict)
    ahead = FlowRun.objects.filter(schedule__in=schedules, slot__gt=now)
    for row in ahead.values_list(*Coming._fields):
        run = Coming(*row)
        runs[run.schedule_id][run.slot] = run
    return runs


def _is_outdated(run: Coming, schedule: Schedule, wanted: set[datetime]) -> bool:
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
