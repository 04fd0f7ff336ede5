"""Retention policies: how long ended runs are kept."""

from django.contrib.admin import display

from portal.admin.scoped import ScopedAdmin
from runs.models import RetentionPolicy


class RetentionPolicyAdmin(ScopedAdmin):
    """One row for each group of runs that has a rule of its own."""

    list_display = ("runs", "states", "kept", "workspace")
    list_select_related = ("workspace", "deployment__flow")
    ordering = ("workspace", "deployment", "state_type")
    fields = ("workspace", "deployment", "state_type", "keep_days")
    addable = deletable = True
    empty_text = "No policy yet: runs are kept for ever."

    @display(description="runs of")
    def runs(self, policy: RetentionPolicy) -> str:
        return str(policy.deployment or "all deployments")

    @display(description="that ended as")
    def states(self, policy: RetentionPolicy) -> str:
        return policy.get_state_type_display() or "anything"

    @display(description="are kept")
    def kept(self, policy: RetentionPolicy) -> str:
        return "for ever" if policy.keep_days is None else f"{policy.keep_days} days"
