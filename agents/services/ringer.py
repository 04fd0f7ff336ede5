"""The ringer rings at the very moment at which runs become due; the sweeper is its safety net."""

from datetime import datetime

from agents.services.sweeper import ring_what_is_owed
from runs.models import FlowRun
from runs.models.flow_run import StateType


class Ringer:
    """Remembers up to which moment it has rung."""

    def __init__(self) -> None:
        self._rung_until: datetime | None = None

    def step(self, now: datetime) -> datetime | None:
        """Ring if runs became due since the last step; return when the next run is due.

        Takes no lock: the loser would have to wait for the sweeper, up to a second too late.
        """
        due = self._first_due_after(self._rung_until or now)
        if due is not None and due <= now:
            ring_what_is_owed(now)
            due = self._first_due_after(now)
        self._rung_until = now
        return due

    @staticmethod
    def _first_due_after(moment: datetime) -> datetime | None:
        waiting = FlowRun.objects.filter(state_type=StateType.SCHEDULED, expected_start_time__gt=moment)
        return waiting.order_by("expected_start_time").values_list("expected_start_time", flat=True).first()
