"""Schedules: when a deployment is due."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import models
from django.db.models import Q

from flows.models.calendar import Calendar
from flows.models.deployment import Deployment
from flows.scoping import ScopedModel
from flows.sdk.ids import uuid7
from flows.unhurried import unhurried

EPOCH = datetime(2020, 1, 1, tzinfo=UTC)


class MissedRuns(models.TextChoices):
    """What becomes of the slots that passed while no scheduler ran."""

    SKIP = "skip", "Skip them"
    LATEST = "latest", "Run the latest"
    ALL = "all", "Run all"


class CalendarPolicy(models.TextChoices):
    """What becomes of a slot that the calendar forbids."""

    SKIP = "skip", "Skip it"
    MOVE = "move", "Move it to the next allowed moment"


class Schedule(ScopedModel):
    """A rule that yields slots (instants in UTC). Each slot makes exactly one run.

    One of these is set: `cron` (five fields or an @name), `rrule` (RFC 5545), both read in `timezone`, or
    `interval` (counted from `anchor_date`; whole days on the clock of `timezone`, the rest in UTC).
    """

    workspace_path = "deployment__workspace"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="schedules")
    slug = models.CharField(
        "name", max_length=100, blank=True, default="", db_default="", help_text="Unique in its deployment."
    )
    cron = models.CharField(max_length=200, blank=True, default="")
    day_or = models.BooleanField(
        "day or weekday",
        default=True,
        db_default=True,
        help_text="A cron that names day and weekday happens when either fits; off: only when both do.",
    )
    interval = models.DurationField(null=True, blank=True)
    anchor_date = models.DateTimeField(default=EPOCH)
    rrule = models.TextField(max_length=6500, blank=True, default="", db_default="")
    timezone = models.CharField("time zone", max_length=64, default="UTC")
    parameters = models.JSONField(default=dict, blank=True)
    active = models.BooleanField(default=True)
    missed_runs = models.CharField(
        max_length=10, choices=MissedRuns, default=MissedRuns.LATEST, db_default=MissedRuns.LATEST
    )
    missed_within_seconds = models.PositiveIntegerField(
        null=True, blank=True, help_text="Only those missed less than this ago. Empty: however long ago."
    )
    missed_at_most = models.PositiveSmallIntegerField(
        default=100, db_default=100, help_text="Of all missed, the newest so many."
    )
    max_scheduled_runs = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="Runs made ahead at most. Empty: as many as the scheduler likes."
    )
    calendar = models.ForeignKey(
        Calendar, on_delete=models.PROTECT, null=True, blank=True, related_name="schedules"
    )
    calendar_policy = models.CharField(
        max_length=10, choices=CalendarPolicy, default=CalendarPolicy.SKIP, db_default=CalendarPolicy.SKIP
    )
    created = models.DateTimeField(auto_now_add=True)
    updated = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="schedule_has_one_rule",
                condition=Q(cron="", rrule="", interval__isnull=False)
                | (~Q(cron="") & Q(rrule="", interval__isnull=True))
                | (~Q(rrule="") & Q(cron="", interval__isnull=True)),
            ),
            models.UniqueConstraint(
                fields=["deployment", "slug"], name="schedule_slug_once", condition=~Q(slug="")
            ),
        ]

    @property
    def rule_text(self) -> str:
        """The rule and its zone in one line."""
        if self.interval is not None:
            return f"every {_in_words(self.interval)}"
        return f"{self.cron or ' '.join(self.rrule.split())} {self.timezone}"

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Remove it; the runs that it made forget it, and that may be a year of them."""
        with unhurried():
            return super().delete(*args, **kwargs)

    def __str__(self) -> str:
        return f"{self.slug}: {self.rule_text}" if self.slug else self.rule_text


def _in_words(interval: timedelta) -> str:
    """A length of time, exactly: `15m`, `1h 30m`, `7d`, `1.5s`."""
    rest = interval.total_seconds()
    parts = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        count, rest = divmod(rest, size)
        parts += [f"{int(count)}{unit}"] if count else []
    return " ".join([*parts, f"{rest:g}s"] if rest or not parts else parts)
