"""Housekeeping: log partitions ahead, expired results, unused code, rows of processes that are gone."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Exists, Max, OuterRef

from agents.models import Agent, ServiceStatus, Worker
from agents.services.database import alone
from flows.catalog.versions import remove_unused_bundles
from runs.background import remove_old
from runs.models import FlowRun
from runs.partitions import ensure_partitions
from runs.results import remove_expired_results
from runs.session import DjangoSession

# An agent that executed runs is named on their pages, and stays as long as they do.
KEEP_IDLE_AGENTS = timedelta(days=1)
# Counted from the newest one: that says since when no scheduler ran, however long ago; see `materialise`.
KEEP_STATUSES = timedelta(days=30)
# Code is stored before its deployment is made; a run that was just claimed may still fetch what was replaced.
KEEP_UNUSED_BUNDLES = timedelta(days=1)


def keep_house(now: datetime) -> None:
    """Make the partitions of the coming days and remove stale rows."""
    with alone("partitions") as mine:
        if mine:
            ensure_partitions(now.date())
    with alone("stale-rows") as mine:
        if mine:
            remove_stale_rows(now)
            remove_expired_results(now)
            with DjangoSession().transaction() as tx:
                remove_old(tx)
            remove_unused_bundles(now - KEEP_UNUSED_BUNDLES)


def remove_stale_rows(now: datetime) -> None:
    """Delete agents that left without having executed a run, workers and statuses of ended processes."""
    executed = FlowRun.objects.filter(agent=OuterRef("pk"))
    Agent.objects.filter(~Exists(executed), last_seen__lt=now - KEEP_IDLE_AGENTS).delete()
    if settings.PORTAL_WORKER_DAYS:
        unseen = now - timedelta(days=settings.PORTAL_WORKER_DAYS)
        Worker.objects.filter(last_heartbeat_time__lt=unseen).delete()
    newest = ServiceStatus.objects.aggregate(newest=Max("last_success"))["newest"]
    if newest is not None:
        ServiceStatus.objects.filter(last_success__lt=newest - KEEP_STATUSES).delete()
