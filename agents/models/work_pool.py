"""Work pools: a kind of place where runs are executed."""

from django.db import models

from flows.models.workspace import NAME_RULE, Workspace
from flows.scoping import ScopedModel
from flows.sdk.ids import uuid7

DEFAULT_POOL = "default"

# The types whose runs are claimed by agents.
CLAIMED_BY_AGENTS = ("agents", "process")


class WorkPool(ScopedModel):
    """A group of queues whose runs are executed in the same way.

    `concurrency_limit` is how many of its runs may be under way at once; None: any number, 0: none.
    `worker_type` and `base_job_template` are for Prefect workers: which kind polls, and what it starts.
    """

    class Type(models.TextChoices):
        AGENTS = "agents", "Portal agents"
        PROCESS = "process", "Portal agents, isolated processes"
        PREFECT = "prefect", "Prefect workers, which poll"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="work_pools")
    name = models.CharField(max_length=100, validators=[NAME_RULE])
    description = models.TextField(blank=True, default="")
    type = models.CharField(max_length=20, choices=Type, default=Type.AGENTS)
    worker_type = models.CharField(
        max_length=100, blank=True, default="", help_text="Of the Prefect workers: process, docker, ..."
    )
    base_job_template = models.JSONField(default=dict, blank=True)
    concurrency_limit = models.PositiveIntegerField(
        null=True, blank=True, help_text="Runs of all its queues at once. Empty: no limit. 0: none starts."
    )
    paused = models.BooleanField(default=False)
    created = models.DateTimeField(auto_now_add=True)
    updated = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "name"], name="pool_name_in_workspace")]

    def __str__(self) -> str:
        return self.name
