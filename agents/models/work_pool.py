"""Work pools: a kind of place where runs are executed."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models

from agents.isolation import complaint_of_environment
from flows.models.workspace import NAME_RULE, Workspace
from flows.scoping import ScopedModel
from flows.sdk.ids import uuid7

DEFAULT_POOL = "default"

# The types whose runs are claimed by agents.
CLAIMED_BY_AGENTS = ("agents", "process")


LEAST_MEMORY_MB = 128  # below it Python cannot even load the SDK


def check_environment(value: Any) -> None:
    """Raises ValidationError."""
    if complaint := complaint_of_environment(value):
        raise ValidationError(f"It {complaint}.")


class WorkPool(ScopedModel):
    """A group of queues whose runs are executed in the same way.

    `concurrency_limit` is how many of its runs may be under way at once; None: any number, 0: none.
    `worker_type` and `base_job_template` are for Prefect workers: which kind polls, and what it starts.
    `python` to `cpu_seconds` are for pools of type `process`: see `agents.isolation.Isolation`.
    """

    class Type(models.TextChoices):
        AGENTS = "agents", "Portal agents"
        PROCESS = "process", "Portal agents, isolated processes"
        PREFECT = "prefect", "Prefect workers, which poll"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workspace = models.ForeignKey(
        Workspace, on_delete=models.CASCADE, db_index=False, related_name="work_pools"
    )
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
    python = models.CharField(
        max_length=500, blank=True, default="", help_text="Interpreter, or folder of a virtual environment."
    )
    environment = models.JSONField(
        default=dict, blank=True, validators=[check_environment], help_text='{"NAME": "value"}'
    )
    working_dir = models.CharField(
        max_length=500, blank=True, default="", help_text="Where a process begins."
    )
    memory_mb = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(LEAST_MEMORY_MB)],
        help_text="Memory of a process, in MiB. Empty: no limit.",
    )
    cpu_seconds = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="CPU time of a process. Empty: no limit.",
    )
    paused = models.BooleanField(default=False)
    created = models.DateTimeField(auto_now_add=True)
    updated = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "name"], name="pool_name_in_workspace")]

    def __str__(self) -> str:
        return self.name
