"""Events: what happened, in a table that is partitioned by day."""

from django.db import models

from flows.models import Workspace
from flows.scoping import ScopedModel
from flows.sdk.ids import uuid7


class Event(ScopedModel):
    """Something that happened to a resource. The SQL key is (occurred, id); Django knows `id` alone.

    Flow-run states become events by a trigger; flows emit others. `resource` and each of `related` are
    objects of labels, with `prefect.resource.id` at least, as Prefect's clients know them.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    occurred = models.DateTimeField()
    workspace = models.ForeignKey(
        Workspace, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="events"
    )
    event = models.CharField(max_length=300, help_text="What happened, such as order.paid.")
    resource_id = models.CharField(max_length=500, help_text="To what.")
    resource = models.JSONField(default=dict)
    related = models.JSONField(default=list)
    payload = models.JSONField(default=dict)
    follows = models.UUIDField(null=True)
    received = models.DateTimeField()

    class Meta:
        managed = False
        db_table = "runs_event"

    def __str__(self) -> str:
        return f"{self.event} {self.resource_id}"
