"""How long runs are kept."""

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models

from flows.models import Deployment, Workspace
from flows.scoping import ScopedModel
from flows.sdk.ids import uuid7
from runs.models.flow_run import TERMINAL, StateType

ENDINGS = [(each.value, each.label) for each in StateType if each in TERMINAL]


class RetentionPolicy(ScopedModel):
    """Ended runs of a workspace, or of one deployment or one end state in it, go `keep_days` after their end.

    Of the policies that speak of a run, the one of its deployment holds before that of the workspace, and of
    these the one of its state before that of all states. Where none speaks, runs are kept for ever.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workspace = models.ForeignKey(
        Workspace, on_delete=models.CASCADE, db_index=False, related_name="retention_policies"
    )
    deployment = models.ForeignKey(
        Deployment,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="retention_policies",
        help_text="Empty: all runs of the workspace.",
    )
    state_type = models.CharField(
        max_length=20, choices=ENDINGS, blank=True, default="", help_text="Empty: however they ended."
    )
    keep_days = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1)], help_text="Empty: for ever."
    )
    created = models.DateTimeField(auto_now_add=True)
    updated = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name_plural = "retention policies"
        constraints = [
            models.UniqueConstraint(
                fields=["workspace", "deployment", "state_type"],
                name="one_policy_per_scope",
                nulls_distinct=False,
                violation_error_message="There is a policy for these runs already: change that one.",
            )
        ]

    def __str__(self) -> str:
        states = self.get_state_type_display() or "all states"
        days = "for ever" if self.keep_days is None else f"{self.keep_days} days"
        return f"{self.deployment or 'all deployments'}, {states}: {days}"

    def clean(self) -> None:
        if self.deployment and self.deployment.workspace_id != self.workspace_id:
            raise ValidationError({"deployment": "It belongs to another workspace."})
