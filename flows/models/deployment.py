"""Deployments: a flow made runnable from afar."""

from collections.abc import Iterable
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q

from flows.models.flow import Flow
from flows.models.workspace import NAME_RULE, Workspace
from flows.scoping import ScopedModel
from flows.sdk.ids import uuid7


class CollisionStrategy(models.TextChoices):
    """What becomes of a run that is due while all slots of its deployment are taken."""

    ENQUEUE = "ENQUEUE", "Wait for a free slot"
    CANCEL_NEW = "CANCEL_NEW", "Cancel the new run"
    CANCEL_RUNNING = "CANCEL_RUNNING", "Cancel the oldest running one"
    KEEP_LATEST = "KEEP_LATEST", "Wait, but only the newest"


# Prefect's clients refuse an answer with another one.
KNOWN_TO_PREFECT = (CollisionStrategy.ENQUEUE, CollisionStrategy.CANCEL_NEW)


class Deployment(ScopedModel):
    """Where a flow's code lies, with which parameters and on which queue it runs.

    `entrypoint` is `path/to/file.py:function` (relative to `path`) or `package.module:function`.
    `parameter_openapi_schema` is the JSON Schema that was read off the function's signature.

    Prefect's deployments are executed by Prefect's own processes: by workers that poll the pool of their
    queue, or without a queue by `flow.serve()`. Portal never loads their code; `pull_steps` and `labels` are
    kept for those processes.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="deployments")
    flow = models.ForeignKey(Flow, on_delete=models.CASCADE, db_index=False, related_name="deployments")
    name = models.CharField(max_length=200, validators=[NAME_RULE])
    description = models.TextField(blank=True, default="")
    entrypoint = models.CharField(max_length=500, blank=True)
    path = models.CharField(max_length=1000, blank=True, default="")
    parameters = models.JSONField(default=dict, blank=True)
    parameter_openapi_schema = models.JSONField(default=dict, blank=True)
    work_queue = models.ForeignKey(
        "agents.WorkQueue",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="deployments",
        help_text="Empty: a process that called flow.serve() fetches its runs.",
    )
    pull_steps = models.JSONField(
        default=list, db_default=[], blank=True, help_text="JSON. How Prefect's processes fetch the code."
    )
    labels = models.JSONField(default=dict, db_default={}, blank=True, help_text="JSON, for Prefect clients.")
    last_polled = models.DateTimeField(null=True, blank=True, help_text="By the process that serves it.")
    tags = ArrayField(models.CharField(max_length=200), default=list, blank=True)
    job_variables = models.JSONField(
        default=dict, db_default={}, blank=True, help_text="JSON. For who executes its runs."
    )
    enforce_parameter_schema = models.BooleanField(
        default=True, db_default=True, help_text="Refuse runs whose parameters do not fit the flow."
    )
    version = models.CharField(max_length=100, blank=True, default="")
    version_number = models.PositiveIntegerField(default=0, help_text="Of its DeploymentVersion.")
    paused = models.BooleanField(default=False)
    crash_retries = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="How often a crashed run is run again. Empty: as the flow says."
    )
    crash_retry_delay_seconds = models.FloatField(
        null=True, blank=True, validators=[MinValueValidator(0)], help_text="Empty: as the flow says."
    )
    hand_back = models.BooleanField(
        default=True,
        db_default=True,
        help_text="An agent that stops gives a run that takes too long to another agent, which begins it "
        "again. Off: the agent waits for its end.",
    )
    quarantined = models.DateTimeField(
        null=True, blank=True, help_text="Since when it is paused because its last runs all crashed."
    )
    concurrency_limit = models.PositiveIntegerField(
        null=True, blank=True, help_text="Runs at once. Empty: no limit. 0: none starts."
    )
    collision_strategy = models.CharField(
        max_length=20, choices=CollisionStrategy, default=CollisionStrategy.ENQUEUE
    )
    created = models.DateTimeField(auto_now_add=True)
    updated = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["flow", "name"], name="deployment_name_in_flow")]
        indexes = [
            # The claim: what may not start, whoever runs.
            models.Index(
                fields=["work_queue"],
                name="deployment_shut",
                condition=Q(paused=True) | Q(concurrency_limit=0),
            ),
            # Collisions: those that do more than wait.
            models.Index(
                fields=["work_queue"],
                name="deployment_collides",
                condition=Q(concurrency_limit__isnull=False) & ~Q(collision_strategy="ENQUEUE"),
            ),
        ]

    def save(self, *args: Any, update_fields: Iterable[str] | None = None, **kwargs: Any) -> None:
        """As Django's; whoever switches the pause off ends a quarantine with it."""
        if not self.paused:
            self.quarantined = None
            if update_fields is not None and "paused" in update_fields:
                update_fields = {*update_fields, "quarantined"}
        super().save(*args, update_fields=update_fields, **kwargs)

    def __str__(self) -> str:
        return f"{self.flow.name}/{self.name}"
