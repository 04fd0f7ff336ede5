"""Retention: removes what the policies no longer keep, a little at a time."""

import logging
from datetime import date, datetime, timedelta

from django.conf import settings

from runs.models import RetentionPolicy
from runs.partitions import EVENTS, LOGS, drop_partition, partitions_before, remove_strays
from runs.retention import BATCH, Rule, remove_expired_runs, rules_of
from runs.rollup import roll_up
from runs.session import DjangoSession

logger = logging.getLogger(__name__)

# Of each rule, in one step: others who write to the same tables must not notice.
MOST_RUNS = 5 * BATCH
SOON = timedelta(seconds=1)


def keep_what_is_wanted(now: datetime) -> datetime | None:
    """Take one step; return when to take the next, if there is more to remove.

    Takes no lock: several schedulers remove different runs. What ended is counted first: after an absence of
    all schedulers, runs may be old enough to go that no hour has counted.
    """
    roll_up(DjangoSession(), now)
    more = [remove_runs(rule, now) == MOST_RUNS for rule in rules_of(RetentionPolicy.objects.all())]
    remove_days(now)
    return now + SOON if any(more) else None


def remove_runs(rule: Rule, now: datetime, most: int = MOST_RUNS) -> int:
    """Remove runs that the rule no longer keeps, `most` at most; return how many."""
    removed = 0
    while removed < most:
        batch = remove_expired_runs(rule, now)
        removed += batch
        if batch < BATCH:
            break
    if removed:
        logger.info("Removed %d %s runs that ended %d days ago", removed, rule.state_type, rule.keep.days)
    return removed


def first_days(now: datetime) -> dict[str, date]:
    """Per partitioned table, the first day that is kept; tables that are kept for ever are left out."""
    kept = {LOGS: settings.PORTAL_LOG_DAYS, EVENTS: settings.PORTAL_EVENT_DAYS}
    return {table: now.date() - timedelta(days=days) for table, days in kept.items() if days}


def remove_days(now: datetime) -> None:
    """Drop the partitions of logs and events that are too old, and old rows outside of them."""
    for table, first in first_days(now).items():
        for name in partitions_before(table, first):
            drop_partition(name)
            logger.info("Dropped %s", name)
        remove_strays(table, first)
