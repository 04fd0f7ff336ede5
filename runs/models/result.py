"""Results of tasks, by cache key, and the locks of those that are being computed."""

from django.db import models

from flows.models import Workspace
from flows.scoping import ScopedModel
from flows.sdk.ids import uuid7
from runs.models.flow_run import FlowRun


class Result(ScopedModel):
    """A result that later calls may reuse. Signed and opaque: only agents open it.

    `digest` stands for the cache key (`runs.results.digest_of`), `key` is what can be shown of it. A small
    result is in `data`, a large one in a file at `url`. `flow_run` is set if the key means something to that
    run alone. The database does not check the foreign keys: rows come by the thousand, from a process that
    holds the run.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workspace = models.ForeignKey(
        Workspace, on_delete=models.CASCADE, db_index=False, db_constraint=False, related_name="results"
    )
    flow_run = models.ForeignKey(
        FlowRun, on_delete=models.CASCADE, null=True, blank=True, db_constraint=False, related_name="results"
    )
    digest = models.CharField(max_length=64)
    key = models.CharField(max_length=200)
    data = models.BinaryField(default=b"")
    url = models.TextField(blank=True, default="")
    expires = models.DateTimeField(null=True, blank=True)
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "digest"], name="result_once")]
        indexes = [
            models.Index(fields=["expires"], name="result_expiring", condition=~models.Q(expires=None))
        ]

    def __str__(self) -> str:
        return self.key


class ResultLock(ScopedModel):
    """A key that attempt `attempt` of a flow run is computing; void once that attempt has lost its lease."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workspace = models.ForeignKey(
        Workspace, on_delete=models.CASCADE, db_index=False, related_name="result_locks"
    )
    flow_run = models.ForeignKey(FlowRun, on_delete=models.CASCADE, related_name="result_locks")
    attempt = models.IntegerField()
    digest = models.CharField(max_length=64)
    holder = models.CharField(max_length=100)
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "digest"], name="result_lock_once")]

    def __str__(self) -> str:
        return self.holder
