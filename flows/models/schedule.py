"""Schedules: when a deployment is due."""

from datetime import UTC, datetime

from django.db import models
from django.db.models import Q

from flows.models.deployment import Deployment
from flows.scoping import ScopedModel
from flows.sdk.ids import uuid7

EPOCH = datetime(2020, 1, 1, tzinfo=UTC)


class Schedule(ScopedModel):
    """A rule that yields slots (instants in UTC). Each slot makes exactly one run.

    Either `cron` is set (five fields or an @name, read in `timezone`) or `interval`
    (added in UTC from `anchor_date`).
    """

    workspace_path = "deployment__workspace"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="schedules")
    cron = models.CharField(max_length=200, blank=True, default="")
    interval = models.DurationField(null=True, blank=True)
    anchor_date = models.DateTimeField(default=EPOCH)
    timezone = models.CharField(max_length=64, default="UTC")
    parameters = models.JSONField(default=dict, blank=True)
    active = models.BooleanField(default=True)
    created = models.DateTimeField(auto_now_add=True)
    updated = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="schedule_is_cron_or_interval",
                condition=Q(cron="", interval__isnull=False) | (~Q(cron="") & Q(interval__isnull=True)),
            )
        ]

    def __str__(self) -> str:
        return f"{self.cron} {self.timezone}" if self.cron else f"every {self.interval}"
