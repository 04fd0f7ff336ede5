"""A stage on which flows wait for people, on real agents."""

from pathlib import Path
from typing import Any

import pytest

from flows.catalog.deployments import deploy
from flows.models import Deployment, Workspace
from runs.create import create_flow_run
from runs.models import FlowRun
from runs.models.flow_run import TERMINAL
from runs.resume import resume
from runs.session import DjangoSession
from tests.factories import make_queue
from tests.processes import Child, RunningStack, wait_until

ALICE = {"type": "USER", "id": "1", "display_value": "alice"}


class Stage:
    """Runs the flows of `flow_file.py`, and shows what they have done."""

    def __init__(self, stack: RunningStack) -> None:
        self.stack = stack
        self.agents: list[Child] = []

    def agent(self, **environment: str) -> Child:
        """An agent of the default queue that is ready for work."""
        agent = self.stack.start("rqworker", "default", env=environment)
        self.agents.append(agent)
        agent.wait_for(" serves ")
        return agent

    def deployment(self, flow: str) -> Deployment:
        found, _ = deploy(
            Workspace.objects.get(name="default"),
            flow_name=flow,
            name="people",
            work_queue_id=make_queue().id,
            path=str(Path(__file__).parent),
            entrypoint=f"flow_file.py:{flow}",
            version="v7",
        )
        return found

    def create(self, flow: str, **parameters: Any) -> FlowRun:
        """A run that is due, and rung for."""
        parameters["folder"] = str(self.stack.folder)
        return create_flow_run(self.deployment(flow), parameters=parameters)

    def done(self) -> list[str]:
        """What the flows have written down."""
        file = self.stack.folder / "done"
        return file.read_text().splitlines() if file.exists() else []

    def reached(self, run: FlowRun, *states: str) -> FlowRun:
        """Wait until the run is in one of these states, by name."""

        def there() -> bool:
            run.refresh_from_db()
            return run.state_name in states or (run.state_type in TERMINAL and run.state_name not in states)

        wait_until(there, 20, what=f"{run.name} becomes {states}")
        said = "\n".join(agent.output for agent in self.agents)
        assert run.state_name in states, f"{run.state_name}: {run.state_message}\n{said}"
        return run

    def resume(self, run: FlowRun, **run_input: Any) -> None:
        resume(DjangoSession(), run.id, run_input, ALICE)


@pytest.fixture
def stage(stack: RunningStack) -> Stage:
    return Stage(stack)
