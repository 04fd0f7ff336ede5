"""Prefect workers: they poll a pool for runs and execute them elsewhere."""

from datetime import datetime, timedelta

from django.db import models

from agents.models.work_pool import WorkPool
from flows.scoping import ScopedModel
from flows.sdk.ids import uuid7

MISSED_HEARTBEATS = 3


class Worker(ScopedModel):
    """A Prefect worker, as its heartbeats tell. It is online until it missed three of them."""

    workspace_path = "work_pool__workspace"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    work_pool = models.ForeignKey(WorkPool, on_delete=models.CASCADE, db_index=False, related_name="workers")
    name = models.CharField(max_length=200)
    heartbeat_interval_seconds = models.FloatField(default=30)
    last_heartbeat_time = models.DateTimeField()
    created = models.DateTimeField(auto_now_add=True)
    updated = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["work_pool", "name"], name="worker_name_in_pool")]

    def __str__(self) -> str:
        return self.name

    def is_online(self, now: datetime) -> bool:
        """Whether it was heard of lately. `now` is the database's."""
        patience = timedelta(seconds=self.heartbeat_interval_seconds * MISSED_HEARTBEATS)
        return now - self.last_heartbeat_time <= patience
