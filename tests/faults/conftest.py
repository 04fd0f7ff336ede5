"""A stage on which agents, horses and servers are killed."""

from pathlib import Path

import pytest

from flows.models import Deployment
from runs.create import create_flow_run
from runs.models import FlowRun
from tests.factories import make_deployment
from tests.processes import Child, RunningStack, wait_until

TERMINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


def is_alive(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


class Stage:
    """Runs the flows of `flow_file.py` on real agents."""

    def __init__(self, stack: RunningStack) -> None:
        self.stack = stack
        self.folder = stack.folder
        self.agents: list[Child] = []

    def agent(self, *arguments: str, **environment: str) -> Child:
        """An agent of the default queue that is ready for work."""
        agent = self.stack.start("rqworker", "default", *arguments, env=environment)
        self.agents.append(agent)
        agent.wait_for(" serves ")
        return agent

    def deployment(self, flow: str) -> Deployment:
        path = str(Path(__file__).parent)
        found = Deployment.objects.filter(name=flow).first()
        return found or make_deployment(flow, flow, path=path, entrypoint=f"flow_file.py:{flow}")

    def create(self, flow: str) -> FlowRun:
        """A run that is due, and rung for."""
        return create_flow_run(self.deployment(flow), parameters={"folder": str(self.folder)})

    def started(self, run: FlowRun) -> int:
        """Wait for the user's code; the pid of its process."""
        file = self.folder / "pid"
        try:
            wait_until(file.exists, what=f"{run.name} starts")
        except AssertionError as error:
            run.refresh_from_db()
            raise AssertionError(f"{error}; it is {run.state_name}: {run.state_message}") from None
        pid = int(file.read_text())
        file.unlink()
        return pid

    def child(self) -> int:
        """The pid of the process that the user's code started."""
        return int((self.folder / "child").read_text())

    def go(self) -> None:
        """Let `hold` end."""
        (self.folder / "go").touch()

    def ended(self, run: FlowRun, timeout: float = 15) -> FlowRun:
        """Wait for a terminal state, and return the run with it."""

        def over() -> bool:
            run.refresh_from_db()
            return run.state_type in TERMINAL

        try:
            wait_until(over, timeout, what=f"{run.name} ends")
        except AssertionError as error:
            said = "\n".join(agent.output for agent in self.agents)
            raise AssertionError(f"{error}; it is {run.state_name}. The agents said:\n{said}") from None
        return run


@pytest.fixture
def stage(stack: RunningStack) -> Stage:
    return Stage(stack)
