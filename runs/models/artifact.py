"""Artifacts: results for people to look at."""

from django.db import models

from flows.models import Workspace
from flows.scoping import ScopedModel
from flows.sdk.ids import uuid7
from runs.models.flow_run import FlowRun
from runs.models.ordered_json import OrderedJSONField


class Artifact(ScopedModel):
    """Something that a flow run or one of its tasks published.

    `data` is a list of row objects (table), Markdown text, a number from 0 to 100 (progress), or the URL of
    an image. A link is Markdown, as in Prefect.
    """

    class Type(models.TextChoices):
        TABLE = "table", "Table"
        MARKDOWN = "markdown", "Markdown"
        PROGRESS = "progress", "Progress"
        IMAGE = "image", "Image"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workspace = models.ForeignKey(
        Workspace, on_delete=models.CASCADE, db_index=False, related_name="artifacts"
    )
    flow_run = models.ForeignKey(FlowRun, on_delete=models.CASCADE, related_name="artifacts")
    task_run_id = models.UUIDField(null=True, blank=True)
    type = models.CharField(max_length=20, choices=Type)
    key = models.CharField(max_length=200, null=True, blank=True)
    description = models.TextField(blank=True, default="")
    data = OrderedJSONField()
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [models.Index("workspace", "key", models.F("created").desc(), name="artifact_by_key")]

    def __str__(self) -> str:
        return self.key or str(self.id)
