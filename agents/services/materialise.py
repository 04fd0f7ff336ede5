"""Materialising: schedules become flow runs ahead of time.

- Per schedule, the next three slots exist as runs, or those of the next hour if that is more (at most 100).
- A run that nobody started yet follows its schedule: it goes when the schedule, its calendar or its
  deployment is changed, paused or deleted, and comes back by the new rule.
- Of the slots that passed while no scheduler ran, those are made up for that the schedule's policy names.
  Runs of the others that existed already go, unless they have started.
"""

import logging
from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import NamedTuple
from uuid import UUID

from django.db.models import Q

from agents.claimable import PLANNING, SCHEDULER_AWAY
from agents.models import ServiceStatus
from agents.services.database import alone
from flows.catalog.clocks import ScheduleError
from flows.catalog.occurrences import LOOKED_AT, Occurrence, Plan, newest, plan_of, running_after
from flows.catalog.slots import rule_of
from flows.models import Schedule
from flows.models.schedule import CalendarPolicy, MissedRuns
from runs.create import NewRun, insert_runs
from runs.models import FlowRun
from runs.models.flow_run import StateType
from runs.session import DjangoSession

logger = logging.getLogger(__name__)

NAME = PLANNING
AHEAD = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
FEWEST, MOST = 3, 100
BATCH = 500
NOT_STARTED = Q(state_type=StateType.SCHEDULED, leased=False)
NEVER_TRIED = NOT_STARTED & Q(attempt=0, run_count=0)

# When a schedule's wanted slots run, by slot.
Wanted = dict[datetime, datetime]


@dataclass(frozen=True, slots=True)
class Settled:
    """A schedule that has its runs: as long as its mark stays and from `since` until `until`."""

    mark: Hashable
    since: datetime
    until: datetime

    def holds(self, mark: Hashable, now: datetime) -> bool:
        return self.mark == mark and self.since <= now < self.until


class Materialiser:
    """Remembers which schedules have nothing to do yet."""

    def __init__(self) -> None:
        self._settled: dict[UUID, Settled] = {}

    def step(self, now: datetime) -> None:
        """One step of the loop; a transaction for every 500 schedules."""
        with alone(NAME) as mine:
            if not mine:
                return
            remove_unwanted(now)
        since = last_tick() or now
        settled: dict[UUID, Settled] = {}
        for batch in _active_schedules():
            marks = {schedule.id: _mark(schedule) for schedule in batch}
            known = {id: self._settled[id] for id in marks if id in self._settled}
            still = {id: each for id, each in known.items() if each.holds(marks[id], now)}
            with alone(NAME) as mine:
                if not mine:
                    return
                untils = bring_up_to_date([each for each in batch if each.id not in still], now, since)
            settled |= still
            settled |= {id: Settled(marks[id], now, until) for id, until in untils.items()}
        self._settled = settled


def _mark(schedule: Schedule) -> Hashable:
    """What decides which runs a schedule wants, beside the time."""
    changed = schedule.calendar.updated if schedule.calendar else None
    return rule_of(schedule), schedule.updated, schedule.deployment.updated, changed


def _minute(now: datetime) -> datetime:
    return now.replace(second=0, microsecond=0)


def last_tick() -> datetime | None:
    """When a scheduler, wherever it ran, last did this."""
    ticks = ServiceStatus.objects.filter(name=NAME, last_success__isnull=False)
    return ticks.order_by("-last_success").values_list("last_success", flat=True).first()


def remove_unwanted(now: datetime) -> None:
    """Delete coming runs whose schedule is deleted or inactive, or whose deployment is paused."""
    # A slot that has passed was moved by a calendar, if nobody touched the run since.
    coming = FlowRun.objects.filter(
        NEVER_TRIED, Q(slot__gt=now) | Q(slot__lte=now, version=1), expected_start_time__gt=now
    )
    unwanted = coming.filter(Q(schedule=None) | Q(schedule__active=False) | Q(deployment__paused=True))
    _delete(list(unwanted.values_list("id", flat=True)[: BATCH * FEWEST]))


@dataclass(slots=True)
class Changes:
    """What a batch of schedules needs: runs that go, and runs that come."""

    stale: list[UUID] = field(default_factory=list)
    news: list[NewRun] = field(default_factory=list)
    missed: int = 0


def bring_up_to_date(
    schedules: Sequence[Schedule], now: datetime, since: datetime
) -> Mapping[UUID, datetime]:
    """Delete the runs that these schedules no longer want and create those that are missing.

    Returns until when each has all that it wants.
    """
    if not schedules:
        return {}
    away = now - since > SCHEDULER_AWAY
    coming = _coming_runs(schedules, now)
    overdue = _overdue_runs(schedules, since, now) if away else {}
    changes = Changes()
    untils: dict[UUID, datetime] = {}
    for schedule in schedules:
        try:
            plan = plan_of(schedule)
            ahead = _ahead(plan, _minute(now), schedule)
            wanted = {each.slot: each.at for each in ahead if each.at and each.at > now}
            missed = _missed(schedule, plan, since, now) if away else {}
        except ScheduleError as error:
            _complain(schedule.id, str(error))
            continue
        _compare(schedule, wanted | missed, coming[schedule.id], changes)
        late = [id for slot, id in overdue.get(schedule.id, []) if slot not in missed]
        changes.stale += late
        changes.missed += len(late)
        untils[schedule.id] = _settled_until(ahead, _minute(now))
    _delete(changes.stale)
    insert_runs(DjangoSession(), changes.news)
    if changes.missed:
        logger.warning(
            "No scheduler worked from %s to %s: %s runs that became due meanwhile are left out, as the "
            "missed_runs of their schedules say.", f"{since:%H:%M:%S}", f"{now:%H:%M:%S}", changes.missed,
        )  # fmt: skip
    return untils


def _compare(schedule: Schedule, wanted: Wanted, runs: Mapping[datetime, "Coming"], changes: Changes) -> None:
    outdated = {slot for slot, run in runs.items() if _is_outdated(run, schedule, wanted)}
    changes.stale += [runs[slot].id for slot in outdated]
    missing = wanted.keys() - (runs.keys() - outdated)
    changes.news += [_new_run(schedule, slot, wanted[slot]) for slot in sorted(missing)]


def _missed(schedule: Schedule, plan: Plan, since: datetime, now: datetime) -> Wanted:
    """The slots to be made up for, of those that passed since a scheduler last worked."""
    since = max(since, schedule.updated)
    if schedule.missed_within_seconds is not None:
        since = max(since, now - timedelta(seconds=schedule.missed_within_seconds))
    if schedule.missed_runs == MissedRuns.SKIP:
        return {}
    count = schedule.missed_at_most if schedule.missed_runs == MissedRuns.ALL else 1
    return {each.slot: each.at for each in newest(plan, since, now, count) if each.at}


def _ahead(plan: Plan, minute: datetime, schedule: Schedule) -> list[Occurrence]:
    """The coming slots: the same ones during the whole minute."""
    ahead: list[Occurrence] = []
    most = min(MOST, schedule.max_scheduled_runs or MOST)
    for each in islice(running_after(plan, minute), LOOKED_AT):
        # One of before the schedule was made, moved by its calendar, is not owed.
        if each.at is None or each.at <= minute or each.slot <= min(minute, schedule.created):
            continue
        if len(ahead) >= FEWEST and each.at > minute + AHEAD:
            break
        ahead.append(each)
        if len(ahead) == most:
            break
    return ahead


def _settled_until(ahead: Sequence[Occurrence], minute: datetime) -> datetime:
    """When the next slots are wanted: the first has passed, or the last is less than an hour away."""
    moments = [each.at for each in ahead if each.at]
    if not moments:
        return minute + MINUTE
    return max(minute + MINUTE, min(moments[0], moments[-1] - AHEAD))


def _active_schedules() -> Iterator[list[Schedule]]:
    active = Schedule.objects.filter(active=True, deployment__paused=False)
    ordered = active.select_related("deployment", "calendar").order_by("id")
    batch = list(ordered[:BATCH])
    while batch:
        yield batch
        batch = list(ordered.filter(id__gt=batch[-1].id)[:BATCH])


class Coming(NamedTuple):
    """A run that lies ahead, whatever became of it."""

    schedule_id: UUID
    slot: datetime
    id: UUID
    created: datetime
    state_type: str
    lease_expires: datetime | None
    expected_start_time: datetime
    version: int


def _coming_runs(schedules: Sequence[Schedule], now: datetime) -> dict[UUID, dict[datetime, Coming]]:
    """Per schedule, the runs of its coming slots, and of those that a calendar has moved ahead."""
    runs: dict[UUID, dict[datetime, Coming]] = defaultdict(dict)
    found = [FlowRun.objects.filter(schedule__in=schedules, slot__gt=now)]
    moving = [each for each in schedules if each.calendar_policy == CalendarPolicy.MOVE and each.calendar]
    if moving:
        found.append(
            FlowRun.objects.filter(
                NEVER_TRIED, schedule__in=moving, slot__lte=now, expected_start_time__gt=now, version=1
            )
        )
    for rows in found:
        for row in rows.values_list(*Coming._fields):
            run = Coming(*row)
            runs[run.schedule_id][run.slot] = run
    return runs


def _overdue_runs(
    schedules: Sequence[Schedule], since: datetime, now: datetime
) -> dict[UUID, list[tuple[datetime, UUID]]]:
    """Per schedule, slot and id of the runs that became due while no scheduler rang for them."""
    runs: dict[UUID, list[tuple[datetime, UUID]]] = defaultdict(list)
    found = FlowRun.objects.filter(
        NEVER_TRIED, schedule__in=schedules, expected_start_time__gt=since, expected_start_time__lte=now
    )
    for schedule_id, slot, id in found.values_list("schedule_id", "slot", "id"):
        runs[schedule_id].append((slot, id))
    return runs


def _is_outdated(run: Coming, schedule: Schedule, wanted: Wanted) -> bool:
    """Whether a run that nobody started was made by an older rule, or with older parameters."""
    if run.state_type != StateType.SCHEDULED or run.lease_expires is not None:
        return False
    if run.slot not in wanted or run.created < max(schedule.updated, schedule.deployment.updated):
        return True
    # One that somebody has touched may have been put off by hand.
    return run.version == 1 and run.expected_start_time != wanted[run.slot]


def _new_run(schedule: Schedule, slot: datetime, at: datetime) -> NewRun:
    return NewRun.of(
        schedule.deployment,
        parameters=schedule.parameters,
        schedule_id=schedule.id,
        slot=slot,
        scheduled_time=at,
        created_by={"type": "SCHEDULE", "id": str(schedule.id), "display_value": str(schedule)},
    )


def _delete(run_ids: list[UUID]) -> None:
    """Delete runs, except those that somebody started in the meantime."""
    if not run_ids:
        return
    # Locked first: Django deletes by id alone, which would also hit a run that was claimed just now.
    unstarted = FlowRun.objects.select_for_update(skip_locked=True, of=("self",))
    ids = list(unstarted.filter(NOT_STARTED, id__in=run_ids).values_list("id", flat=True))
    FlowRun.objects.filter(id__in=ids).delete()


@lru_cache(maxsize=1000)
def _complain(schedule_id: UUID, error: str) -> None:
    """Log once per schedule and error; the other schedules go on."""
    logger.warning("Schedule %s makes no runs: %s", schedule_id, error)
