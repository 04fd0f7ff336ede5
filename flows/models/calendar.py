"""Calendars: when schedules may run at all."""

from django.contrib.postgres.fields import ArrayField
from django.db import models

from flows.models.workspace import NAME_RULE, Workspace
from flows.scoping import ScopedModel
from flows.sdk.ids import uuid7


def every_day() -> list[int]:
    return [1, 2, 3, 4, 5, 6, 7]


class Calendar(ScopedModel):
    """Business days and blackout windows, on the clock of `timezone`. Schedules refer to it.

    `weekdays` are those that count, 1 (Monday) to 7 (Sunday), as ISO numbers them. `holidays` are dates.
    `blackouts` are objects, as `flows.catalog.calendars.Blackout` reads them.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workspace = models.ForeignKey(
        Workspace, on_delete=models.CASCADE, db_index=False, related_name="calendars"
    )
    name = models.CharField(max_length=100, validators=[NAME_RULE])
    timezone = models.CharField("time zone", max_length=64, default="UTC")
    weekdays = ArrayField(models.PositiveSmallIntegerField(), default=every_day)
    holidays = ArrayField(models.DateField(), default=list, blank=True)
    blackouts = models.JSONField(default=list, blank=True)
    created = models.DateTimeField(auto_now_add=True)
    updated = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "name"], name="calendar_name_once")]

    def __str__(self) -> str:
        return self.name
