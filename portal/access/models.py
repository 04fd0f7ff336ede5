"""API tokens: shown once, stored hashed."""

from django.conf import settings
from django.db import models

from flows.models import Workspace
from flows.scoping import ScopedModel
from flows.sdk.ids import uuid7


class ApiToken(ScopedModel):
    """A user's key to one workspace. `digest` is the SHA-256 of a 256-bit random token.

    A fast hash suffices: the token has too many bits to guess. `prefix` (its first characters)
    lets people tell their tokens apart.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens")
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=200, blank=True, default="")
    prefix = models.CharField(max_length=20)
    digest = models.CharField(max_length=64, unique=True)
    created = models.DateTimeField(auto_now_add=True)
    expires = models.DateTimeField(null=True, blank=True)
    revoked = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.prefix}… of {self.user}"
