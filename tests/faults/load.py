"""Runs that work while something breaks, and what must have become of them."""

import time
from collections import Counter
from collections.abc import Callable

from django.db import InterfaceError, OperationalError, connection

from runs.models import FlowRun
from tests.faults.conftest import TERMINAL, Stage

LONGEST = 120.0


class Load:
    """`count` runs of `works`, all due now."""

    def __init__(self, stage: Stage, count: int, flow: str = "works") -> None:
        self.stage = stage
        self.ids = [stage.create(flow).id for _ in range(count)]

    def is_over(self) -> bool:
        """Whether all have ended. A database that is away says nothing."""
        try:
            return not FlowRun.objects.filter(id__in=self.ids).exclude(state_type__in=TERMINAL).exists()
        except (OperationalError, InterfaceError):
            connection.close()
            return False

    def suffer(self, fault: Callable[[], object], timeout: float = LONGEST) -> int:
        """Do `fault` again and again until all runs have ended; return how often."""
        deadline = time.monotonic() + timeout
        faults = 0
        while not self.is_over():
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"not over after {faults} faults: {self.states()}\n{self._agents_said()}"
                )
            fault()
            faults += 1
        print(f"{faults} faults")
        return faults

    def states(self) -> Counter[str]:
        return Counter(FlowRun.objects.filter(id__in=self.ids).values_list("state_name", flat=True))

    def executions(self) -> Counter[str]:
        """How often user code of each run began, by run id."""
        return Counter((self.stage.folder / "executions").read_text().split())

    def assert_each_completed_once(self) -> None:
        """Every run is Completed, and its code was started exactly once."""
        assert self.states() == {"Completed": len(self.ids)}, self._agents_said()
        assert self.executions() == dict.fromkeys(map(str, self.ids), 1)

    def _agents_said(self) -> str:
        return "\n".join(agent.output[-3000:] for agent in self.stage.agents)
