"""How the scheduler's loops are doing."""

from django.db import models

from flows.sdk.ids import uuid7


class ServiceStatus(models.Model):
    """One loop of one scheduler process: when it last worked, and what went wrong last.

    Written every two seconds by the scheduler; a row that is not written any more belongs to
    a process that has ended.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=50)
    hostname = models.CharField(max_length=255)
    pid = models.IntegerField()
    every = models.FloatField(default=1, help_text="Seconds from one tick to the next, at most.")
    last_success = models.DateTimeField(null=True, blank=True)
    duration_ms = models.FloatField(default=0, help_text="How long the last successful tick took.")
    last_error = models.TextField(blank=True, default="")
    last_error_time = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "service statuses"
        constraints = [
            models.UniqueConstraint(fields=["name", "hostname", "pid"], name="one_status_per_loop"),
        ]

    def __str__(self) -> str:
        return f"{self.name} on {self.hostname}"
