"""Workspaces (tenants) and who belongs to them."""

from typing import ClassVar

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models

from flows.scoping import ScopedModel
from flows.sdk.ids import uuid7

DEFAULT_WORKSPACE = "default"

# Names become parts of Redis list names and of "workspace/pool/queue", hence no ":" and no "/".
NAME_RULE = RegexValidator(
    r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,99}$",
    "Use letters, digits, spaces, dots, dashes and underscores, at most 100.",
)


class Workspace(ScopedModel):
    """A tenant: everything else belongs to exactly one. The first migration makes "default"."""

    workspace_path: ClassVar[str] = ""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=100, unique=True, validators=[NAME_RULE])
    created = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name


class Membership(ScopedModel):
    """A user's role in a workspace. Each role may do all that the ones before it may."""

    class Role(models.TextChoices):
        VIEWER = "viewer", "Viewer: read"
        OPERATOR = "operator", "Operator: run and cancel"
        EDITOR = "editor", "Editor: change deployments and queues"
        ADMIN = "admin", "Admin: change members and tokens"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workspace = models.ForeignKey(
        Workspace, on_delete=models.CASCADE, db_index=False, related_name="memberships"
    )
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=20, choices=Role, default=Role.VIEWER)
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "user"], name="membership_once")]

    def __str__(self) -> str:
        return f"{self.user} in {self.workspace} as {self.role}"
