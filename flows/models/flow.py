"""Flows: the names under which Python functions are known."""

from django.contrib.postgres.fields import ArrayField
from django.db import models

from flows.models.workspace import NAME_RULE, Workspace
from flows.scoping import ScopedModel
from flows.sdk.ids import uuid7


class Flow(ScopedModel):
    """A flow, known by its name within a workspace (the function's name, "-" for "_")."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, db_index=False, related_name="flows")
    name = models.CharField(max_length=200, validators=[NAME_RULE])
    tags = ArrayField(models.CharField(max_length=200), default=list, blank=True)
    labels = models.JSONField(default=dict, db_default={}, blank=True, help_text="JSON, for Prefect clients.")
    created = models.DateTimeField(auto_now_add=True)
    updated = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "name"], name="flow_name_in_workspace")]

    def __str__(self) -> str:
        return self.name
