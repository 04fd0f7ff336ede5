"""Log lines of runs, in a table that is partitioned by day."""

from django.db import models

from flows.scoping import ScopedModel
from flows.sdk.ids import uuid7
from runs.models.flow_run import FlowRun


class Log(ScopedModel):
    """One log line. The SQL key is (timestamp, id); Django knows `id` alone.

    Reads must bound `timestamp` by the run's row, so that only its days' partitions are touched:
    use `runs.logs.of_run`.
    """

    workspace_path = "flow_run__workspace"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    timestamp = models.DateTimeField()
    flow_run = models.ForeignKey(
        FlowRun, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="logs"
    )
    task_run_id = models.UUIDField(null=True)
    level = models.SmallIntegerField()
    name = models.CharField(max_length=200)
    message = models.TextField()

    class Meta:
        managed = False
        db_table = "runs_log"

    def __str__(self) -> str:
        return self.message[:80]
