"""Tasks in agents: two real agents, or more, and what happens when they are killed, cancelled or lied to."""

from pathlib import Path

import pytest

from flows.models import Deployment
from flows.sdk.states import Cancelling
from runs.models import Artifact, Errand, FlowRun, Log
from runs.session import DjangoSession
from runs.transition import transition
from tests.factories import make_deployment
from tests.faults.conftest import Stage, is_alive
from tests.processes import RunningStack, wait_until

pytestmark = pytest.mark.processes


class AgentsStage(Stage):
    """Runs the flows of the `agents_flow_file.py` beside this file."""

    def deployment(self, flow: str) -> Deployment:
        path = str(Path(__file__).parent)
        return make_deployment(flow, flow, path=path, entrypoint=f"agents_flow_file.py:{flow}")

    def held(self, number: int) -> int:
        """The pid of the process that holds task `number`."""
        file = self.folder / f"held-{number}"
        wait_until(lambda: file.exists() and file.read_text(), what=f"task {number} begins")
        return int(file.read_text())


@pytest.fixture
def stage(stack: RunningStack) -> AgentsStage:
    return AgentsStage(stack)


def completed(stage: AgentsStage, flow: str) -> FlowRun:
    run = stage.ended(stage.create(flow), timeout=30)
    assert run.state_type == "COMPLETED", run.state_message
    return run


def test_tasks_run_in_other_agents_and_report_to_their_flow(stage: AgentsStage) -> None:
    stage.agent()
    stage.agent()
    run = completed(stage, "spread")
    assert run.task_runs.filter(state_type="COMPLETED").count() == 23
    assert Log.objects.filter(flow_run=run, message__startswith="doubling").count() == 20
    assert Artifact.objects.get(flow_run=run).key == "report"
    assert FlowRun.objects.get(flow__name="negated").state_type == "COMPLETED"
    assert not Errand.objects.exists()


def test_without_a_free_agent_the_flow_helps_itself(stage: AgentsStage) -> None:
    stage.agent()
    completed(stage, "alone")
