"""Concurrency limits, and who holds their slots."""

from math import ceil
from typing import Any

from django.core.validators import MinValueValidator
from django.db import models, transaction
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.timezone import now

from flows.models import Workspace
from flows.scoping import ScopedModel
from flows.sdk.ids import uuid7
from runs.limits import tell_all, tell_first
from runs.models.flow_run import TERMINAL, StateType
from runs.session import DjangoSession


class ConcurrencyLimit(ScopedModel):
    """How many slots there are of one name.

    `slot_decay_per_second` > 0 makes it a rate, too: slots that are taken for a rate free themselves
    that quickly, one after the other.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workspace = models.ForeignKey(
        Workspace, on_delete=models.CASCADE, db_index=False, related_name="concurrency_limits"
    )
    name = models.CharField(max_length=200)
    limit = models.PositiveIntegerField(help_text="How many slots there are.")
    active = models.BooleanField(default=True, help_text="Switched off, it lets everybody pass.")
    slot_decay_per_second = models.FloatField(
        default=0, validators=[MinValueValidator(0)], help_text="For rate_limit: slots freed per second."
    )
    created = models.DateTimeField(auto_now_add=True)
    updated = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "name"], name="limit_name_in_workspace")]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Store it; whoever is first in line asks again at once, for there may be more slots now. Where it is
        switched off, everybody does."""
        super().save(*args, **kwargs)
        tell = tell_first if self.active else tell_all
        tell(DjangoSession(), self.id)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Remove it; all that stand in line ask again at once, for it holds nobody back any more."""
        with transaction.atomic():  # they hear of it when it is gone, and not before
            tell_all(DjangoSession(), self.id)
            return super().delete(*args, **kwargs)


class Slot(ScopedModel):
    """Slots of one limit that one holder took: counted, so that no number can drift.

    `lease` is the same for all that were taken together. They are free again when they are released,
    when `expires` has passed, or when the attempt of the flow run that took them is over, whichever comes
    first. What was taken for a rate stays until it has decayed.
    """

    workspace_path = "limit__workspace"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    limit = models.ForeignKey(
        ConcurrencyLimit, on_delete=models.CASCADE, db_index=False, related_name="slots"
    )
    lease = models.UUIDField()
    occupied = models.PositiveIntegerField(help_text="How many slots.")
    decays = models.BooleanField(default=False, help_text="Taken for a rate: frees itself.")
    flow_run = models.ForeignKey(
        "runs.FlowRun", on_delete=models.CASCADE, null=True, blank=True, related_name="slots"
    )
    task_run_id = models.UUIDField(null=True, blank=True)
    holder = models.CharField(max_length=400, blank=True, default="", help_text="For people.")
    acquired = models.DateTimeField()
    expires = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["limit", "lease"], name="slot_once_per_lease")]
        indexes = [models.Index(fields=["lease"], name="slot_by_lease")]

    def __str__(self) -> str:
        return self.holder or str(self.lease)

    @classmethod
    def held(cls) -> "models.QuerySet[Slot]":
        """Those that are not free again, as `runs.limits` counts them."""
        over = Q(flow_run__state_type__in=TERMINAL)
        between_attempts = Q(flow_run__state_type=StateType.SCHEDULED, flow_run__lease_expires=None)
        of_attempt_before = Q(acquired__lt=F("flow_run__claimed_time"))
        freed = over | between_attempts | of_attempt_before
        still = Q(flow_run=None) | Q(decays=True) | ~freed
        return cls.objects.filter(still, expires__gt=Now()).order_by("acquired")

    def occupied_now(self, decay: float) -> int:
        """How many slots this row holds; `decay` is its limit's, in slots per second."""
        if not self.decays:
            return self.occupied
        return min(self.occupied, max(0, ceil((self.expires - now()).total_seconds() * decay)))


class Waiter(ScopedModel):
    """Somebody who asked for slots that were not free. First come, first served.

    Whoever still waits asks again and again; one that has not for a while (`expires`) has gone.
    """

    workspace_path = "limit__workspace"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    limit = models.ForeignKey(
        ConcurrencyLimit, on_delete=models.CASCADE, db_index=False, related_name="waiters"
    )
    lease = models.UUIDField()
    wanted = models.PositiveIntegerField(help_text="How many slots.")
    flow_run = models.ForeignKey(
        "runs.FlowRun", on_delete=models.CASCADE, null=True, blank=True, related_name="slot_waits"
    )
    holder = models.CharField(max_length=400, blank=True, default="", help_text="For people.")
    since = models.DateTimeField()
    expires = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["limit", "lease"], name="waits_once_per_lease")]

    def __str__(self) -> str:
        return self.holder or str(self.lease)

    @classmethod
    def present(cls) -> "models.QuerySet[Waiter]":
        """Those that still wait, in the order of their turns."""
        return cls.objects.filter(expires__gt=Now()).order_by("since", "lease")
