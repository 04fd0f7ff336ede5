"""What was sent to a run: questions it asks, answers to them, and values from other runs."""

from django.db import models

from flows.scoping import ScopedModel
from flows.sdk.ids import uuid7
from runs.models.flow_run import FlowRun


class RunInput(ScopedModel):
    """A value under a key of the run. It is JSON as text: jsonb would lose the order of a form's fields."""

    workspace_path = "flow_run__workspace"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    flow_run = models.ForeignKey(FlowRun, on_delete=models.CASCADE, db_index=False, related_name="inputs")
    key = models.CharField(max_length=300)
    value = models.TextField()
    sender = models.CharField(max_length=300, blank=True, default="")
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["flow_run", "key"], name="run_input_once")]

    def __str__(self) -> str:
        return self.key
