"""Warm agents on a queue of their own, and runs of one flow through them."""

import os
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.processes import Child, RunningStack, wait_until

LONGEST_RUN = 60.0


class Bench:
    """Deploys `source` (the text of a file that defines the flow `name`) and runs it."""

    def __init__(self, folder: Path, name: str, source: str, agents: int = 1) -> None:
        from agents.registry import resolve
        from tests.factories import make_deployment

        (folder / f"{name}.py").write_text(source)
        self.queue = f"bench-{name}"
        self.deployment = make_deployment(
            "bench", name, resolve(self.queue), path=str(folder), entrypoint=f"{name}.py:{name}"
        )
        self.stack = RunningStack(os.environ["DATABASE_URL"], os.environ["REDIS_URL"], folder)
        self._count = agents
        self.agents: list[Child] = []

    def __enter__(self) -> Self:
        self.agents = [self.start_agent() for _ in range(self._count)]
        return self

    def start_agent(self) -> Child:
        """One more agent of the queue, ready for work."""
        agent = self.stack.start("rqworker", self.queue)
        agent.wait_for("serves")
        return agent

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stack.stop()

    def run(self, **parameters: Any) -> Any:
        """Create a run, wait for its end and return its row."""
        from runs.create import create_flow_run
        from runs.models import FlowRun

        run = create_flow_run(self.deployment, parameters=parameters)
        wait_until(lambda: FlowRun.objects.filter(id=run.id, end_time__isnull=False).exists(), LONGEST_RUN)
        return FlowRun.objects.get(id=run.id)

    def rest(self, seconds: float = 0.1) -> None:
        """Let the agent go back to waiting for a ring, so that the next run meets it idle."""
        time.sleep(seconds)
