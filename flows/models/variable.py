"""Variables: small values that flows read by name and people change without deploying."""

from django.contrib.postgres.fields import ArrayField
from django.core.validators import RegexValidator
from django.db import models

from flows.models.workspace import Workspace
from flows.scoping import ScopedModel
from flows.sdk.ids import uuid7
from flows.sdk.variables import MOST_CHARACTERS, NAME_PATTERN, NAME_RULE

VARIABLE_NAME_RULE = RegexValidator(NAME_PATTERN, NAME_RULE)


class Variable(ScopedModel):
    """A JSON value of at most 5,000 characters."""

    MOST_CHARACTERS = MOST_CHARACTERS

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workspace = models.ForeignKey(
        Workspace, on_delete=models.CASCADE, db_index=False, related_name="variables"
    )
    name = models.CharField(max_length=255, validators=[VARIABLE_NAME_RULE])
    value = models.JSONField(null=True, blank=True)
    tags = ArrayField(models.CharField(max_length=200), default=list, blank=True)
    created = models.DateTimeField(auto_now_add=True)
    updated = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "name"], name="variable_in_workspace")]

    def __str__(self) -> str:
        return self.name
