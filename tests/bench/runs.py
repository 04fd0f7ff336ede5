"""A warm agent on a queue of its own, and runs of one flow through it."""

import os
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.processes import RunningStack, wait_until

LONGEST_RUN = 60.0


class Bench:
    """Deploys `source` (the text of a file that defines the flow `name`) and runs it."""

    def __init__(self, folder: Path, name: str, source: str) -> None:
        from agents.registry import resolve
        from tests.factories import make_deployment

        (folder / f"{name}.py").write_text(source)
        self.queue = f"bench-{name}"
        self.deployment = make_deployment(
            "bench", name, resolve(self.queue), path=str(folder), entrypoint=f"{name}.py:{name}"
        )
        self.stack = RunningStack(os.environ["DATABASE_URL"], os.environ["REDIS_URL"], folder)

    def __enter__(self) -> Self:
        self.stack.start("rqworker", self.queue).wait_for("serves")
        return self

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
