"""Load and random faults for many minutes, in rounds: after each, everything must have ended in order.

    make soak ARGS=30                  # minutes; 5 if nothing is said
    FAULT_SEED=... make soak ARGS=30   # the same choices again

Not one of the tests: it takes as long as it is told to.
"""

import os
import random
import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from django.db import InterfaceError, OperationalError, connection
from django.db.models import Q, QuerySet
from django.utils import timezone

from agents.waiting import waiting_on
from flows.models import Deployment, Schedule
from flows.models.schedule import MissedRuns
from portal.ops.embedded import Postgres, Valkey
from runs.models import ConcurrencyLimit, FlowRun
from tests.factories import default_workspace, make_deployment
from tests.faults import soak_file
from tests.faults.api import Api
from tests.faults.conftest import TERMINAL, Stage
from tests.faults.customers import Customer
from tests.faults.mischief import Mischief
from tests.processes import wait_until

MINUTES = float(os.environ.get("SOAK_MINUTES") or 5)
ROUND_SECONDS = 60
RECOVERY_SECONDS = 120
EVERY = timedelta(seconds=2)
TRACEBACK = re.compile(r"Traceback \(most recent call last\).*?\n(?=\S)[^\n]*", re.DOTALL)


def deploy(flow: str) -> Deployment:
    path = str(Path(soak_file.__file__).parent)
    return make_deployment(flow, flow, path=path, entrypoint=f"soak_file.py:{flow}")


class Soak:
    """A stage under load and mischief."""

    def __init__(self, stage: Stage, api: Api, mischief: Mischief, dice: random.Random) -> None:
        self._stage = stage
        self._api = api
        self._mischief = mischief
        self._dice = dice
        self._peace = timezone.now()
        ConcurrencyLimit.objects.create(workspace=default_workspace(), name="gate", limit=1)
        self._deployments = [deploy(flow.fn.__name__).id for flow in soak_file.LOAD]
        self._schedule = Schedule.objects.create(
            deployment=deploy("ticks"),
            interval=EVERY,
            missed_runs=MissedRuns.ALL,
            parameters={"folder": str(stage.folder)},
        )

    def round(self) -> str:
        """Faults for a minute, then peace. Returns what happened; raises AssertionError."""
        customer = Customer(self._api, self._deployments, str(self._stage.folder), self._dice)
        before = len(self._mischief.done)
        self._suffer(customer)
        seconds = self._recover(customer)
        self._assert_in_order(customer)
        faults = Counter(self._mischief.done[before:])
        states = Counter(self._ordered(customer).values_list("state_name", flat=True))
        return f"recovered in {seconds:.1f} s; {dict(states)}; {len(faults)} kinds of fault: {dict(faults)}"

    def _suffer(self, customer: Customer) -> None:
        deadline = time.monotonic() + ROUND_SECONDS
        customer.open()
        while time.monotonic() < deadline and customer.error is None:
            self._mischief.strike()
        self._mischief.mend()
        self._peace = timezone.now()
        customer.close()

    def _recover(self, customer: Customer) -> float:
        began = time.monotonic()
        try:
            wait_until(lambda: self._is_over(customer), RECOVERY_SECONDS, what="everything has ended")
        except AssertionError as error:
            lines = [f"{run.id} {run} {run.state_name}: {waiting_on(run)}" for run in self._open(customer)]
            raise AssertionError("\n".join([str(error), *lines])) from None
        return time.monotonic() - began

    def _is_over(self, customer: Customer) -> bool:
        try:
            return not self._open(customer).exists()
        except (OperationalError, InterfaceError):
            connection.close()
            return False

    def _ordered(self, customer: Customer) -> "QuerySet[FlowRun]":
        return FlowRun.objects.filter(id__in=customer.ordered)

    def _open(self, customer: Customer) -> "QuerySet[FlowRun]":
        """What is not over yet: of the orders, and of the ticks up to the end of the faults."""
        wanted = Q(id__in=customer.ordered) | Q(schedule=self._schedule, slot__lt=self._peace)
        return FlowRun.objects.filter(wanted).exclude(state_type__in=TERMINAL)

    def _assert_in_order(self, customer: Customer) -> None:
        assert len(customer.ordered) == len(set(customer.ordered)) == self._ordered(customer).count()
        assert not list(self._surprises(customer))
        self._assert_one_execution_per_attempt()
        self._assert_no_tick_is_missing()
        wait_until(lambda: not daemons(self._stage.folder), 15, what="no daemon is left")
        self._stage.assert_in_order()

    def _surprises(self, customer: Customer) -> Iterator[str]:
        """Runs with an end that nobody wanted."""
        for run in self._ordered(customer).exclude(state_type="COMPLETED"):
            if not (run.state_type == "CANCELLED" and run.id in customer.cancelled):
                yield f"{run.id} {run} {run.state_name}: {run.state_message}"

    def _assert_one_execution_per_attempt(self) -> None:
        executions = Counter((self._stage.folder / "executions").read_text().split())
        attempts = {str(id): n for id, n in FlowRun.objects.values_list("id", "attempt")}
        assert not {id: n for id, n in executions.items() if n > attempts[id]}

    def _assert_no_tick_is_missing(self) -> None:
        slots = (
            FlowRun.objects.filter(schedule=self._schedule).order_by("slot").values_list("slot", flat=True)
        )
        assert {later - earlier for earlier, later in pairwise(slots)} <= {EVERY}


def daemons(folder: Path) -> list[int]:
    """The daemons of `lets_go` that live."""
    name = f"daemon of {folder}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if name in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found


def tracebacks(stage: Stage) -> Counter[str]:
    """What the processes of the stage did not expect, by its last line."""
    said = "".join(child.output for child in stage.stack.children)
    return Counter(found.group().splitlines()[-1][:150] for found in TRACEBACK.finditer(said))


@pytest.fixture
def outputs(own_stage: Stage) -> Iterator[Path]:
    """What every process has printed, a file each, when it is over."""
    folder = own_stage.folder / "outputs"
    folder.mkdir()
    yield folder
    for child in own_stage.stack.children:
        (folder / f"{child.arguments[0]}-{child.pid}.log").write_text(child.output)
    print(f"What the processes said: {folder}")


def test_soak(
    own_stage: Stage, own_postgres: Postgres, valkey: Valkey, dice: random.Random, outputs: Path
) -> None:
    own_stage.stack.env["REDIS_URL"] = valkey.url
    api = Api(own_stage)
    mischief = Mischief(own_stage, api, own_postgres, valkey, dice)
    soak = Soak(own_stage, api, mischief, dice)
    mischief.mend()
    until = time.monotonic() + MINUTES * 60
    while time.monotonic() < until:
        told = soak.round()
        print(time.strftime("%H:%M:%S"), told, flush=True)
    print(tracebacks(own_stage))
