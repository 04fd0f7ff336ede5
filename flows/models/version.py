"""Versions of deployments, and the code that they run."""

from django.db import models

from flows.models.deployment import Deployment
from flows.models.workspace import Workspace
from flows.scoping import ScopedModel
from flows.sdk.ids import uuid7


class Bundle(ScopedModel):
    """A folder of code as a tar.gz, known by its hash: what has the same hash is the same code."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, db_index=False, related_name="bundles")
    sha256 = models.CharField(max_length=64)
    data = models.BinaryField()
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "sha256"], name="bundle_once")]

    def __str__(self) -> str:
        return self.sha256


class DeploymentVersion(ScopedModel):
    """What a deployment was made of, each time that deploying changed it. Append-only.

    `values` are the fields in `flows.catalog.versions.KEPT`.
    """

    workspace_path = "deployment__workspace"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    deployment = models.ForeignKey(
        Deployment, on_delete=models.CASCADE, db_index=False, related_name="versions"
    )
    number = models.PositiveIntegerField()
    values = models.JSONField()
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["deployment", "number"], name="version_once")]

    def __str__(self) -> str:
        return f"{self.deployment} v{self.number}"
