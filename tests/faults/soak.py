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
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from uuid import UUID

import pytest
from django.db import InterfaceError, OperationalError, connection
from django.db.models import Q, QuerySet
from django.utils import timezone

from agents.models import WorkPool, WorkQueue
from agents.waiting import waiting_on
from flows.models import Deployment, Schedule
from flows.models.schedule import MissedRuns
from portal.ops.embedded import Postgres, Valkey
from runs.models import Backfill, ConcurrencyLimit, FlowRun, TaskRun
from runs.models.backfill import OPEN
from tests.factories import default_workspace, make_deployment, make_queue
from tests.faults import soak_file
from tests.faults.api import Api
from tests.faults.conftest import TERMINAL, Stage
from tests.faults.customers import Customer
from tests.faults.mischief import Mischief
from tests.faults.scripts import Scripts
from tests.processes import wait_until

MINUTES = float(os.environ.get("SOAK_MINUTES") or 5)
ROUND_SECONDS = 60
RECOVERY_SECONDS = 120
EVERY = timedelta(seconds=2)
TRACEBACK = re.compile(r"Traceback \(most recent call last\).*?\n(?=\S)[^\n]*", re.DOTALL)


def deploy(flow: str, queue: WorkQueue | None = None) -> Deployment:
    path = str(Path(soak_file.__file__).parent)
    name = f"{flow} in {queue.work_pool.name}" if queue else flow
    return make_deployment(name, flow, queue=queue, path=path, entrypoint=f"soak_file.py:{flow}")


def isolated_queue() -> WorkQueue:
    """A queue each of whose runs has an interpreter of its own, which reports to the server."""
    queue = make_queue(pool="isolated")
    WorkPool.objects.filter(id=queue.work_pool_id).update(type=WorkPool.Type.PROCESS)
    return queue


class Soak:
    """A stage under load and mischief."""

    def __init__(self, stage: Stage, api: Api, mischief: Mischief, dice: random.Random) -> None:
        self._stage = stage
        self._api = api
        self._mischief = mischief
        self._dice = dice
        self._peace = timezone.now()
        self._backfills = 0
        self._scripted: list[UUID] = []
        ConcurrencyLimit.objects.create(workspace=default_workspace(), name="gate", limit=1)
        isolated = isolated_queue()
        self._deployments = [
            *(deploy(flow.fn.__name__).id for flow in soak_file.LOAD),
            *(deploy(flow.fn.__name__, isolated).id for flow in soak_file.ISOLATED),
        ]
        self._fills_in = deploy("fills_in")
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
        scripts = Scripts(self._api)
        customer.open()
        scripts.open()
        self._order_backfill()
        while time.monotonic() < deadline and customer.error is scripts.error is None:
            self._mischief.strike()
        self._mischief.mend()
        self._peace = timezone.now()
        customer.close()
        scripts.close()
        self._scripted += scripts.made

    def _order_backfill(self) -> None:
        """A score of runs, three at a time."""
        first = datetime(2026, 1, 1, tzinfo=UTC) + self._backfills * timedelta(hours=20)
        self._backfills += 1
        body = {
            "deployment_id": str(self._fills_in.id),
            "start": first.isoformat(),
            "end": (first + timedelta(hours=19)).isoformat(),
            "interval": 3600,
            "concurrency": 3,
            "parameters": {"folder": str(self._stage.folder)},
        }
        answer = self._api.ask("POST", "/api/backfills/", body)
        assert answer.status_code == 201, answer.text

    def _recover(self, customer: Customer) -> float:
        began = time.monotonic()
        try:
            wait_until(lambda: self._is_over(customer), RECOVERY_SECONDS, what="everything has ended")
        except AssertionError as error:
            lines = [f"{run.id} {run} {run.state_name}: {waiting_on(run)}" for run in self._open(customer)]
            lines += [f"{task.id} {task.name} {task.state_name}" for task in self._background()]
            lines += [f"backfill {each.id} {each.state}" for each in Backfill.objects.filter(state__in=OPEN)]
            raise AssertionError("\n".join([str(error), *lines])) from None
        return time.monotonic() - began

    def _is_over(self, customer: Customer) -> bool:
        try:
            for run_id in self._open(customer).filter(state_type="PAUSED").values_list("id", flat=True):
                customer.resume(run_id)
            others = Backfill.objects.filter(state__in=OPEN).exists() or self._background().exists()
            return not others and not self._open(customer).exists()
        except (OperationalError, InterfaceError):
            connection.close()
            return False

    def _ordered(self, customer: Customer) -> "QuerySet[FlowRun]":
        return FlowRun.objects.filter(id__in=customer.ordered)

    @staticmethod
    def _background() -> "QuerySet[TaskRun]":
        """The tasks in the background that are not over."""
        return TaskRun.objects.filter(flow_run=None).exclude(state_type__in=TERMINAL)

    def _open(self, customer: Customer) -> "QuerySet[FlowRun]":
        """What is not over yet: of the orders, and of the ticks up to the end of the faults."""
        wanted = Q(id__in=customer.ordered) | Q(schedule=self._schedule, slot__lt=self._peace)
        return FlowRun.objects.filter(wanted).exclude(state_type__in=TERMINAL)

    def _assert_in_order(self, customer: Customer) -> None:
        assert len(customer.ordered) == len(set(customer.ordered)) == self._ordered(customer).count()
        assert not list(self._surprises(customer))
        scripted = FlowRun.objects.filter(id__in=self._scripted, state_type="COMPLETED")
        assert scripted.count() == len(self._scripted)
        self._assert_one_execution_per_attempt()
        self._assert_no_tick_is_missing()
        self._assert_backfills_are_complete()
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

    def _assert_backfills_are_complete(self) -> None:
        runs = FlowRun.objects.filter(backfill__isnull=False)
        assert runs.count() == runs.filter(state_type="COMPLETED").count() == 20 * self._backfills

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
    own_stage.stack.env["PORTAL_AGENT_API_URL"] = f"{api.client.base_url}/api"
    mischief = Mischief(own_stage, api, own_postgres, valkey, dice)
    soak = Soak(own_stage, api, mischief, dice)
    mischief.mend()
    until = time.monotonic() + MINUTES * 60
    while time.monotonic() < until:
        told = soak.round()
        print(time.strftime("%H:%M:%S"), told, flush=True)
    print(tracebacks(own_stage))
