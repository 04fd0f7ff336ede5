"""Backfills: many runs of one deployment, for past slots or for a grid of parameters."""

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MinValueValidator
from django.db import models

from flows.models import Deployment, Schedule, Workspace
from flows.scoping import ScopedModel
from flows.sdk.ids import uuid7


class BackfillState(models.TextChoices):
    """PLANNING: its cells are still being drawn. COMPLETED: every run has ended, in whatever state."""

    PLANNING = "PLANNING", "Planning"
    ACTIVE = "ACTIVE", "Active"
    PAUSED = "PAUSED", "Paused"
    COMPLETED = "COMPLETED", "Completed"
    CANCELLED = "CANCELLED", "Cancelled"


OPEN = (BackfillState.PLANNING, BackfillState.ACTIVE, BackfillState.PAUSED)


class Which(models.TextChoices):
    """Which cells are run: MISSING those never completed, FAILED those of them that failed or crashed.

    What is under way counts as neither.
    """

    ALL = "all", "All"
    MISSING = "missing", "Only missing: not completed yet"
    FAILED = "failed", "Only failed: tried, and not completed"


class Backfill(ScopedModel):
    """A plan of cells, each of which becomes one run, at most `concurrency` of them at a time.

    Cells are numbered in the order in which they run; those from `released` on have no run yet.
    Only `runs.backfills.release` moves that number. A large one is planned by a service: `planning` says
    what is left to draw, and None that all is drawn.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workspace = models.ForeignKey(
        Workspace, on_delete=models.CASCADE, db_index=False, related_name="backfills"
    )
    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="backfills")
    schedule = models.ForeignKey(
        Schedule, on_delete=models.SET_NULL, null=True, blank=True, related_name="backfills"
    )
    state = models.CharField(max_length=10, choices=BackfillState, default=BackfillState.ACTIVE)
    start = models.DateTimeField(null=True, blank=True, help_text="The earliest slot.")
    end = models.DateTimeField(null=True, blank=True, help_text="The latest slot.")
    rule = models.CharField(max_length=1000, blank=True, default="", help_text="The slots' rule, in words.")
    slot_parameter = models.CharField(max_length=200, blank=True, default="")
    grid = models.JSONField(default=dict, blank=True, help_text="Lists of values by parameter.")
    parameters = models.JSONField(default=dict, blank=True, help_text="What all runs have in common.")
    which = models.CharField(max_length=10, choices=Which, default=Which.ALL)
    newest_first = models.BooleanField(default=False)
    concurrency = models.PositiveIntegerField(default=5, validators=[MinValueValidator(1)])
    priority = models.SmallIntegerField(default=-1, help_text="Of its runs; below 0: after ordinary runs.")
    tags = ArrayField(models.CharField(max_length=200), default=list, blank=True)
    total = models.PositiveIntegerField(help_text="How many cells there are; while it is planned, so far.")
    planning = models.JSONField(null=True, blank=True, editable=False)
    planned_percent = models.PositiveSmallIntegerField(default=100, db_default=100)
    message = models.TextField(blank=True, default="", db_default="", help_text="Why it ended as it did.")
    released = models.PositiveIntegerField(default=0, help_text="How many have become runs.")
    created_by = models.JSONField(null=True, blank=True)
    created = models.DateTimeField(auto_now_add=True)
    updated = models.DateTimeField(auto_now=True)
    finished = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [
            models.Index("workspace", models.F("created").desc(), name="backfill_newest"),
            # The loops that plan and release.
            models.Index(
                fields=["state"],
                name="backfill_going_on",
                condition=models.Q(state__in=["PLANNING", "ACTIVE"]),
            ),
        ]

    def __str__(self) -> str:
        parts = []
        if self.start and self.end:
            parts.append(f"{self.start:%Y-%m-%d %H:%M} to {self.end:%Y-%m-%d %H:%M}")
        parts += [f"{len(values)} of {name}" for name, values in self.grid.items()]
        return ", ".join(parts)


class BackfillCell(ScopedModel):
    """One run that a backfill asks for: its slot, its own parameters, and the run once there is one."""

    workspace_path = "backfill__workspace"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    backfill = models.ForeignKey(Backfill, on_delete=models.CASCADE, db_index=False, related_name="cells")
    number = models.PositiveIntegerField()
    slot = models.DateTimeField(null=True, blank=True)
    parameters = models.JSONField(default=dict, blank=True)
    flow_run = models.ForeignKey(
        "runs.FlowRun", on_delete=models.SET_NULL, null=True, blank=True, related_name="backfill_cells"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["backfill", "number"], name="backfill_cell_once"),
        ]

    def __str__(self) -> str:
        return f"cell {self.number}"
