"""Work queues: where runs wait for an agent."""

from uuid import UUID

from django.db import models

from agents.models.work_pool import WorkPool
from flows.models.workspace import NAME_RULE
from flows.scoping import ScopedModel
from flows.sdk.ids import uuid7

DEFAULT_QUEUE = "default"


class WorkQueue(ScopedModel):
    """A queue of a pool. Agents serve queues; the lower `priority` is served first."""

    workspace_path = "work_pool__workspace"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    work_pool = models.ForeignKey(WorkPool, on_delete=models.CASCADE, db_index=False, related_name="queues")
    name = models.CharField(max_length=100, validators=[NAME_RULE])
    priority = models.PositiveSmallIntegerField(default=1, help_text="1 is served first.")
    description = models.TextField(blank=True, default="")
    concurrency_limit = models.PositiveIntegerField(
        null=True, blank=True, help_text="Runs at once. Empty: no limit. 0: none starts."
    )
    paused = models.BooleanField(default=False)
    last_polled = models.DateTimeField(null=True, blank=True, help_text="By a Prefect worker.")
    created = models.DateTimeField(auto_now_add=True)
    updated = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["work_pool", "name"], name="queue_name_in_pool")]

    def __str__(self) -> str:
        return f"{self.work_pool.name}/{self.name}"

    @property
    def workspace_id(self) -> UUID:
        """The workspace of its pool."""
        workspace_id: UUID = self.work_pool.workspace_id
        return workspace_id
