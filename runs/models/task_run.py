"""Task runs and the history of their states."""

from django.contrib.postgres.fields import ArrayField
from django.db import models

from flows.models import Workspace
from flows.scoping import ScopedModel
from flows.sdk.ids import uuid7
from runs.models.flow_run import FlowRun, StateType


class TaskRun(ScopedModel):
    """One call of a task, within a flow run or (background tasks) outside of flows, in a workspace.

    `(attempt, sequence)` says which report the row shows: newest wins. `version` is the flow run's
    version at that write, so that a page can ask for what changed since it last looked.
    """

    workspace_paths = ("flow_run__workspace", "workspace")
    run_path = "flow_run__"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    flow_run = models.ForeignKey(
        FlowRun, on_delete=models.CASCADE, null=True, blank=True, db_index=False, related_name="task_runs"
    )
    workspace = models.ForeignKey(
        Workspace,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        db_index=False,
        related_name="task_runs",
        help_text="Of a task run outside of flows.",
    )
    task_key = models.CharField(max_length=500)
    dynamic_key = models.CharField(max_length=100)
    name = models.CharField(max_length=200)
    tags = ArrayField(models.CharField(max_length=200), default=list, blank=True)
    task_inputs = models.JSONField(default=dict, blank=True)
    state_id = models.UUIDField(null=True)
    state_type = models.CharField(max_length=20, choices=StateType)
    state_name = models.CharField(max_length=100)
    state_message = models.TextField(blank=True, default="")
    state_timestamp = models.DateTimeField()
    start_time = models.DateTimeField(null=True, blank=True)
    end_time = models.DateTimeField(null=True, blank=True)
    total_run_time = models.FloatField(default=0)
    run_count = models.IntegerField(default=0)
    attempt = models.IntegerField(default=0)
    sequence = models.BigIntegerField(default=0)
    version = models.BigIntegerField(default=0)
    created = models.DateTimeField()
    client_details = models.JSONField(
        null=True, blank=True, help_text="What its Prefect client wants to be told again."
    )

    class Meta:
        indexes = [
            # Task runs that Prefect's clients report have no attempt, and are known by their keys.
            models.Index(
                fields=["flow_run", "task_key", "dynamic_key"],
                name="taskrun_by_key",
                condition=models.Q(attempt=0, flow_run__isnull=False),
            ),
            # Run page: what changed since a version. Lists: in order of creation.
            models.Index(fields=["flow_run", "version"], name="taskrun_changes"),
            models.Index(fields=["flow_run", "id"], name="taskrun_of_run"),
            models.Index(
                fields=["workspace", "id"],
                name="taskrun_in_background",
                condition=models.Q(workspace__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.name


class BackgroundTask(TaskRun):
    """A task run outside of flows, as the pages list them."""

    class Meta:
        proxy = True
        verbose_name = "background task"


class TaskRunState(ScopedModel):
    """One entry of a task run's history. Append-only, idempotent by id."""

    workspace_paths = ("flow_run__workspace", "task_run__workspace")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    task_run = models.ForeignKey(
        TaskRun, on_delete=models.CASCADE, db_constraint=False, related_name="states"
    )
    # It goes with its task run. A constraint would have each deleted run looked for in all states.
    flow_run = models.ForeignKey(
        FlowRun,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        null=True,
        blank=True,
        db_index=False,
        related_name="task_run_states",
    )
    type = models.CharField(max_length=20, choices=StateType)
    name = models.CharField(max_length=100)
    message = models.TextField(blank=True, default="")
    timestamp = models.DateTimeField()
    attempt = models.IntegerField(default=0)
    sequence = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return self.name
