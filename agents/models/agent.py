"""Agents: the RQ workers that execute flow runs."""

from django.contrib.postgres.fields import ArrayField
from django.db import models

from flows.sdk.ids import uuid7


class Agent(models.Model):
    """One `manage.py rqworker` process (a new row for each start of it).

    `last_seen` is written by the agent every few seconds, whether it is idle or busy; an agent
    counts as online while that is younger than `agents.registry.OFFLINE_AFTER`. No column that a beat
    writes is indexed: the table is small, and PostgreSQL can then rewrite the row in place.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=200)
    hostname = models.CharField(max_length=255)
    pid = models.IntegerField()
    version = models.CharField(max_length=50, blank=True, default="", help_text="Of Portal.")
    python = models.CharField(max_length=50, blank=True, default="", db_default="")
    queues = ArrayField(models.UUIDField(), default=list, help_text="Ids of the queues it serves.")
    capacity = models.PositiveSmallIntegerField(
        default=1, db_default=1, help_text="How many runs it executes at once."
    )
    started = models.DateTimeField()
    last_seen = models.DateTimeField()
    draining = models.DateTimeField(
        null=True, blank=True, help_text="Since when it finishes its run and takes no other."
    )
    stopped = models.DateTimeField(null=True, blank=True)
    presence = models.CharField(
        max_length=10, blank=True, default="", db_default="", help_text="What was last told of it."
    )
    refused = models.TextField(
        blank=True, default="", db_default="", help_text="Why it may not take runs; it has ended."
    )

    def __str__(self) -> str:
        return self.name
