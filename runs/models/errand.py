"""Errands: calls of tasks that wait for a process to make them, or are under way there."""

from django.db import models
from django.db.models import Q

from flows.models import Workspace
from flows.scoping import ScopedModel
from flows.sdk.ids import uuid7
from runs.models.flow_run import FlowRun


class Errand(ScopedModel):
    """One call of a task's function, for an agent or a task worker. Written only by `runs.errands`.

    With a `flow_run`, it belongs to attempt `attempt` of that run, whose process waits for the answer and
    removes the row: once the attempt has lost its lease, nobody carries the errand out any more. Without
    one, it is a background task: `task_run_id` says what became of it, and the row keeps the result.

    `payload` and `answer` are signed and opaque: only agents and task workers open them. `holder` is whoever
    carries it out now, under a lease; each claim counts a try. `lost` says why there will be no answer. The
    database does not check the foreign keys: rows come by the thousand, from a process that holds the run.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workspace = models.ForeignKey(
        Workspace, on_delete=models.CASCADE, db_index=False, db_constraint=False, related_name="errands"
    )
    flow_run = models.ForeignKey(
        FlowRun, on_delete=models.CASCADE, null=True, blank=True, db_constraint=False, related_name="errands"
    )
    attempt = models.IntegerField(default=0)
    work_queue = models.ForeignKey(
        "agents.WorkQueue",
        on_delete=models.CASCADE,
        db_index=False,
        db_constraint=False,
        related_name="errands",
    )
    task_run_id = models.UUIDField(null=True, blank=True)
    task_key = models.CharField(max_length=500, blank=True, default="")
    name = models.CharField(max_length=200, blank=True, default="")
    for_agents = models.BooleanField(default=True, help_text="Its content is enough to carry it out.")
    payload = models.BinaryField()

    holder = models.UUIDField(null=True, blank=True)
    agent_id = models.UUIDField(null=True, blank=True)
    worker = models.CharField(max_length=300, blank=True, default="", help_text="The holder, for people.")
    tries = models.IntegerField(default=0)
    claimed = models.DateTimeField(null=True, blank=True)
    lease_expires = models.DateTimeField(null=True, blank=True)
    answer = models.BinaryField(null=True, blank=True)
    lost = models.TextField(blank=True, default="")
    ended = models.DateTimeField(null=True, blank=True)
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [
            # Claims: by agents of a queue, and by task workers.
            models.Index(
                fields=["work_queue", "id"],
                name="errand_claimable",
                condition=Q(holder__isnull=True, ended__isnull=True),
            ),
            models.Index(
                fields=["workspace", "task_key", "id"],
                name="errand_background",
                condition=Q(holder__isnull=True, ended__isnull=True, flow_run__isnull=True),
            ),
            # Whoever holds errands, and leases that ran out.
            models.Index(
                fields=["holder"],
                name="errand_held",
                condition=Q(holder__isnull=False, ended__isnull=True),
            ),
            models.Index(
                fields=["lease_expires"], name="errand_leased", condition=Q(lease_expires__isnull=False)
            ),
            # Housekeeping.
            models.Index(fields=["ended"], name="errand_ended", condition=Q(ended__isnull=False)),
        ]

    def __str__(self) -> str:
        return self.name or str(self.id)
