"""Work pools: a kind of place where runs are executed."""

from django.db import models

from flows.models.workspace import NAME_RULE, Workspace
from flows.scoping import ScopedModel
from flows.sdk.ids import uuid7

DEFAULT_POOL = "default"


class WorkPool(ScopedModel):
    """A group of queues whose runs are executed in the same way."""

    class Type(models.TextChoices):
        AGENTS = "agents", "Portal agents"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="work_pools")
    name = models.CharField(max_length=100, validators=[NAME_RULE])
    description = models.TextField(blank=True, default="")
    type = models.CharField(max_length=20, choices=Type, default=Type.AGENTS)
    paused = models.BooleanField(default=False)
    created = models.DateTimeField(auto_now_add=True)
    updated = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "name"], name="pool_name_in_workspace")]

    def __str__(self) -> str:
        return self.name
