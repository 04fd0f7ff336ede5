"""Whoever dies with a slot gives it back."""

import os
import signal

import pytest

from runs.models import ConcurrencyLimit, FlowRun, Slot
from tests.factories import default_workspace
from tests.faults.conftest import Stage
from tests.processes import wait_until

pytestmark = pytest.mark.processes


def test_the_slot_of_a_killed_run_is_free_for_the_next(stage: Stage) -> None:
    ConcurrencyLimit.objects.create(workspace=default_workspace(), name="gate", limit=1)
    runs = [stage.create("holds_a_slot"), stage.create("holds_a_slot")]
    stage.agent()
    stage.agent()
    horse = stage.started(runs[0])
    wait_until(lambda: FlowRun.objects.filter(state_type="RUNNING").count() == 2, what="the other waits")
    holder = Slot.held().get().flow_run
    assert holder is not None and holder.infrastructure_pid == str(horse)

    os.kill(horse, signal.SIGKILL)

    assert stage.started(runs[1]) != horse
    stage.go()
    assert sorted(stage.ended(run).state_type for run in runs) == ["COMPLETED", "CRASHED"]
    assert not Slot.held().exists()
