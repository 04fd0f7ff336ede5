"""Runs that ended, counted by the hour."""

from django.db import models

from flows.models import Deployment, Workspace
from flows.scoping import ScopedModel
from flows.sdk.ids import uuid7
from runs.models.retention import ENDINGS


class RunStats(ScopedModel):
    """Root runs of a deployment that ended in one hour in one state. Outlives the runs themselves.

    A run that is run again counts again, in the hour of its next end. All sums are in seconds.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workspace = models.ForeignKey(
        Workspace, on_delete=models.CASCADE, db_index=False, related_name="run_stats"
    )
    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, null=True, related_name="run_stats")
    hour = models.DateTimeField(help_text="Its beginning.")
    state_type = models.CharField(max_length=20, choices=ENDINGS)
    runs = models.PositiveIntegerField()
    run_seconds = models.FloatField(help_text="Spent running, all runs together.")
    longest_run_seconds = models.FloatField()
    late_seconds = models.FloatField(help_text="From due to running, all runs together.")

    class Meta:
        verbose_name_plural = "run stats"
        constraints = [
            models.UniqueConstraint(
                fields=["workspace", "hour", "deployment", "state_type"],
                name="run_stats_once",
                nulls_distinct=False,
            )
        ]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H:00} {self.state_type}: {self.runs}"
