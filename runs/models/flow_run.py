"""Flow runs and the history of their states."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from flows.models import Deployment, Flow, Schedule, Workspace
from flows.scoping import ScopedModel
from flows.sdk.ids import uuid7


class StateType(models.TextChoices):
    """The state types of `flows.sdk.states`, as a closed set for the database."""

    SCHEDULED = "SCHEDULED", "Scheduled"
    PENDING = "PENDING", "Pending"
    RUNNING = "RUNNING", "Running"
    PAUSED = "PAUSED", "Paused"
    CANCELLING = "CANCELLING", "Cancelling"
    CANCELLED = "CANCELLED", "Cancelled"
    COMPLETED = "COMPLETED", "Completed"
    FAILED = "FAILED", "Failed"
    CRASHED = "CRASHED", "Crashed"


TERMINAL = frozenset({"CANCELLED", "COMPLETED", "FAILED", "CRASHED"})


# The run that goes first in its queue, whoever was put before it: "run next".
NEXT = 32767
HIGHEST, LOWEST = 10, -10
# A level of priority is worth so much waiting: nothing waits for ever behind what is more important.
AGEING = "interval '5 minutes'"


def in_order() -> models.Func:
    """What the runs of a queue are sorted by, least first: their due time, earlier by 5 minutes a level.

    That is ageing without a clock in it, so an index can hold it: a run that has waited 5 minutes
    longer stands beside one of the next priority that has just become due.
    """
    parts = models.F("expected_start_time"), models.F("priority")
    # The order of the keywords is that of the migration: Django compares them so.
    return models.Func(*parts, arg_joiner=f" AT TIME ZONE 'UTC' - {AGEING} * ", template="(%(expressions)s)")


# What holds a slot of the limits above it. Prefect's workers take no lease: their runs count by their state.
HELD = ["PENDING", "RUNNING", "CANCELLING"]
UNDER_WAY = Q(work_queue__isnull=False) & (Q(leased=True) | Q(state_type__in=HELD))
# The same of deployments without a queue, whose runs a Prefect process fetches for itself (`flow.serve`).
SERVED = Q(work_queue__isnull=True, deployment__isnull=False, state_type__in=HELD)


class FlowRun(ScopedModel):
    """One run of a flow. Only `runs.transition` and `agents.claim` change its state.

    A claim writes `agent`, `attempt` and `lease_expires`; every later write of that attempt
    carries its number. `lease_expires` NULL means that no process owns the run. `version` grows
    with every visible change, so that a page that missed a live message notices the gap.

    No index may name `lease_expires`, not in its condition either: agents renew leases all the time, and
    PostgreSQL can then rewrite the row in place. Indexes name `leased`.
    """

    run_path = ""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workspace = models.ForeignKey(
        Workspace, on_delete=models.CASCADE, db_index=False, related_name="flow_runs"
    )
    flow = models.ForeignKey(Flow, on_delete=models.CASCADE, db_index=False, related_name="flow_runs")
    deployment = models.ForeignKey(
        Deployment, on_delete=models.SET_NULL, null=True, blank=True, db_index=False, related_name="flow_runs"
    )
    work_queue = models.ForeignKey(
        "agents.WorkQueue", on_delete=models.SET_NULL, null=True, blank=True, related_name="flow_runs"
    )
    schedule = models.ForeignKey(
        Schedule, on_delete=models.SET_NULL, null=True, blank=True, db_index=False, related_name="flow_runs"
    )
    slot = models.DateTimeField(null=True, blank=True, help_text="The schedule's instant, in UTC.")
    backfill = models.ForeignKey(
        "runs.Backfill",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        db_index=False,
        related_name="flow_runs",
    )
    name = models.CharField(max_length=200)
    parameters = models.JSONField(default=dict, blank=True)
    job_variables = models.JSONField(
        default=dict, db_default={}, blank=True, help_text="On top of the deployment's."
    )
    tags = ArrayField(models.CharField(max_length=200), default=list, blank=True)
    idempotency_key = models.CharField(max_length=500, null=True, blank=True)
    created_by = models.JSONField(null=True, blank=True)
    priority = models.SmallIntegerField(
        default=0, help_text="From -10 to 10; higher goes first within a queue."
    )

    state_id = models.UUIDField(null=True)
    state_type = models.CharField(max_length=20, choices=StateType, default=StateType.SCHEDULED)
    state_name = models.CharField(max_length=100, default="Scheduled")
    state_message = models.TextField(blank=True, default="")
    state_timestamp = models.DateTimeField()
    expected_start_time = models.DateTimeField(help_text="When the run is due.")
    start_time = models.DateTimeField(null=True, blank=True)
    end_time = models.DateTimeField(null=True, blank=True)
    total_run_time = models.FloatField(default=0, help_text="Seconds spent running, all attempts.")
    run_count = models.IntegerField(default=0)
    deadline = models.DateTimeField(null=True, blank=True, help_text="When its flow's timeout passes.")
    crash_count = models.IntegerField(default=0, db_default=0)
    crash_retries = models.IntegerField(
        default=0, db_default=0, help_text="As the flow says; its deployment may say otherwise."
    )
    crash_retry_delay_seconds = models.FloatField(default=0, db_default=0)

    attempt = models.IntegerField(default=0)
    lease_expires = models.DateTimeField(null=True, blank=True)
    leased = models.GeneratedField(
        expression=models.ExpressionWrapper(Q(lease_expires__isnull=False), models.BooleanField()),
        output_field=models.BooleanField(),
        db_persist=True,
    )
    agent = models.ForeignKey(
        "agents.Agent", on_delete=models.SET_NULL, null=True, blank=True, related_name="flow_runs"
    )
    infrastructure_pid = models.CharField(max_length=200, blank=True, default="")
    deployment_version = models.PositiveIntegerField(
        null=True, blank=True, help_text="Which version of its deployment was claimed."
    )
    claimed_time = models.DateTimeField(null=True, blank=True)
    forked_time = models.DateTimeField(null=True, blank=True)
    loaded_time = models.DateTimeField(null=True, blank=True)

    cpu_seconds = models.FloatField(
        null=True, blank=True, help_text="User and system time of its processes, all attempts."
    )
    peak_memory_bytes = models.BigIntegerField(
        null=True, blank=True, help_text="The most that one of its processes had in memory."
    )

    # What Prefect's clients tell of the runs that they execute; they read it again.
    empirical_policy = models.JSONField(
        null=True, blank=True, help_text="The flow's retries and their delay, as Prefect's clients say them."
    )
    labels = models.JSONField(null=True, blank=True)
    context = models.JSONField(null=True, blank=True)
    flow_version = models.CharField(max_length=100, blank=True, default="", db_default="")

    pause_keys = ArrayField(
        models.CharField(max_length=300),
        default=list,
        db_default=[],
        help_text="Pauses that the run has come to.",
    )
    pause_expires = models.DateTimeField(
        null=True, blank=True, help_text="When a paused run fails that nobody resumed."
    )
    resuming = models.BooleanField(
        default=False, db_default=False, help_text="Its next start goes on with a suspended try."
    )

    root_run = models.ForeignKey(
        "self", on_delete=models.CASCADE, null=True, blank=True, related_name="descendants"
    )
    parent_task_run = models.ForeignKey(
        "runs.TaskRun", on_delete=models.SET_NULL, null=True, blank=True, related_name="child_runs"
    )
    rerun_of = models.ForeignKey(
        "self", on_delete=models.SET_NULL, null=True, blank=True, db_index=False, related_name="reruns"
    )
    result_scope = models.UUIDField(
        null=True, blank=True, help_text="The run whose kept results it reads and adds to, if not its own."
    )
    redo_from = models.UUIDField(
        null=True, blank=True, help_text="A task run: what came of it is computed anew."
    )
    last_heartbeat = models.DateTimeField(
        null=True, blank=True, help_text="When the Prefect client that executes it was last heard."
    )
    version = models.BigIntegerField(default=1)
    created = models.DateTimeField(auto_now_add=True)
    updated = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            # A tick runs once, however many schedulers run.
            models.UniqueConstraint(fields=["schedule", "slot"], name="one_run_per_slot"),
            models.UniqueConstraint(
                fields=["deployment", "idempotency_key"], name="one_run_per_idempotency_key"
            ),
        ]
        indexes = [
            # agents.claim: the best due run of a queue.
            models.Index(
                "work_queue",
                in_order(),
                "expected_start_time",
                name="flowrun_in_order",
                condition=Q(state_type="SCHEDULED", leased=False),
            ),
            # Limits: the runs that are under way, wherever they are executed.
            models.Index(
                fields=["work_queue", "deployment"],
                name="flowrun_under_way",
                condition=UNDER_WAY,
            ),
            models.Index(fields=["deployment"], name="flowrun_served", condition=SERVED),
            # Scheduler loops: what is due, what is late.
            models.Index(
                fields=["expected_start_time"],
                name="flowrun_scheduled",
                condition=Q(state_type="SCHEDULED"),
            ),
            # Reaper: what processes hold.
            models.Index(fields=["id"], name="flowrun_leased", condition=Q(leased=True)),
            # Runs of Prefect's clients that have fallen silent.
            models.Index(
                fields=["last_heartbeat"],
                name="flowrun_heard",
                condition=Q(last_heartbeat__isnull=False, state_type="RUNNING"),
            ),
            models.Index(
                fields=["state_timestamp"],
                name="flowrun_cancelling",
                condition=Q(state_type="CANCELLING"),
            ),
            # Pause expiry.
            models.Index(
                fields=["pause_expires"],
                name="flowrun_paused",
                condition=Q(pause_expires__isnull=False),
            ),
            # Rollups: what ended since.
            models.Index(fields=["end_time"], name="flowrun_ended", condition=Q(end_time__isnull=False)),
            # Backfills: what was run of a slot, and how many of a backfill's runs are in which state.
            models.Index(
                fields=["deployment", "slot"], name="flowrun_of_slot", condition=Q(slot__isnull=False)
            ),
            models.Index(
                fields=["backfill", "state_type"],
                name="flowrun_of_backfill",
                condition=Q(backfill__isnull=False),
            ),
            # Prefect's own runs without a deployment: the key is their flow's.
            models.Index(
                fields=["flow", "idempotency_key"],
                name="flowrun_by_key",
                condition=Q(deployment__isnull=True, idempotency_key__isnull=False),
            ),
            models.Index(fields=["rerun_of"], name="flowrun_reruns", condition=Q(rerun_of__isnull=False)),
            # Lists, newest first: of all workspaces (superusers), one, one state, one deployment, one flow.
            models.Index(models.F("created").desc(), models.F("id").desc(), name="flowrun_created"),
            models.Index("workspace", models.F("created").desc(), name="flowrun_newest"),
            models.Index("workspace", "state_type", models.F("created").desc(), name="flowrun_by_state"),
            models.Index("workspace", models.F("expected_start_time").desc(), name="flowrun_by_due"),
            models.Index("deployment", models.F("created").desc(), name="flowrun_by_deployment"),
            models.Index("flow", models.F("created").desc(), name="flowrun_by_flow"),
        ]

    def __str__(self) -> str:
        return self.name


class FlowRunState(ScopedModel):
    """One entry of a flow run's history. Append-only."""

    workspace_path = "flow_run__workspace"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    flow_run = models.ForeignKey(FlowRun, on_delete=models.CASCADE, db_index=False, related_name="states")
    type = models.CharField(max_length=20, choices=StateType)
    name = models.CharField(max_length=100)
    message = models.TextField(blank=True, default="")
    timestamp = models.DateTimeField()
    attempt = models.IntegerField(default=0)
    state_details = models.JSONField(default=dict)

    class Meta:
        indexes = [models.Index(fields=["flow_run", "timestamp"], name="flowrunstate_history")]

    def __str__(self) -> str:
        return self.name
