"""Blocks: typed configuration and secrets, stored encrypted."""

from django.core.validators import RegexValidator
from django.db import models

from flows.models.workspace import Workspace
from flows.scoping import ScopedModel
from flows.sdk.block_names import NAME_PATTERN, NAME_RULE
from flows.sdk.ids import uuid7

BLOCK_NAME_RULE = RegexValidator(NAME_PATTERN, NAME_RULE)


class Block(ScopedModel):
    """A document of a type, such as `secret/api-key`; `sealed` is its JSON under `flows.catalog.vault`."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, db_index=False, related_name="blocks")
    type = models.CharField(max_length=200, default="secret", validators=[BLOCK_NAME_RULE])
    name = models.CharField(max_length=200, validators=[BLOCK_NAME_RULE])
    sealed = models.BinaryField()
    created = models.DateTimeField(auto_now_add=True)
    updated = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["workspace", "type", "name"], name="block_in_workspace")
        ]

    def __str__(self) -> str:
        return f"{self.type}/{self.name}"
