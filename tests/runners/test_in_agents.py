"""Task runners inside agents: what their processes do is recorded, and none of them is left behind."""

from pathlib import Path

import pytest

from flows.models import Deployment
from flows.sdk.states import Cancelling
from runs.models import FlowRun, Log
from runs.session import DjangoSession
from runs.transition import transition
from tests.factories import make_deployment
from tests.faults.conftest import Stage, is_alive
from tests.processes import RunningStack, wait_until

pytestmark = pytest.mark.processes


class RunnersStage(Stage):
    """Runs the flows of the `flow_file.py` beside this file."""

    def deployment(self, flow: str) -> Deployment:
        return make_deployment(flow, flow, path=str(Path(__file__).parent), entrypoint=f"flow_file.py:{flow}")


@pytest.fixture
def stage(stack: RunningStack) -> RunnersStage:
    return RunnersStage(stack)


def test_tasks_in_processes_report_to_the_database(stage: RunnersStage) -> None:
    stage.agent()
    run = stage.ended(stage.create("in_processes"))
    assert (run.state_type, run.state_message) == ("COMPLETED", run.state_message)
    assert set(run.task_runs.values_list("state_type", flat=True)) == {"COMPLETED"}
    assert Log.objects.filter(flow_run=run, message__startswith="doubling").count() == 2
    assert FlowRun.objects.get(flow__name="negated").state_type == "COMPLETED"


def test_tasks_on_dask_report_to_the_database(stage: RunnersStage) -> None:
    pytest.importorskip("distributed")
    stage.agent()
    run = stage.ended(stage.create("on_dask"))
    assert run.state_type == "COMPLETED", run.state_message
    assert Log.objects.filter(flow_run=run, message__startswith="doubling").count() == 2


def held_by(stage: RunnersStage) -> int:
    """The pid of the process that holds."""
    file = stage.folder / "held"
    wait_until(lambda: file.exists() and file.read_text(), what="the task begins")
    return int(file.read_text())


def test_cancelling_ends_the_processes(stage: RunnersStage) -> None:
    stage.agent()
    run = stage.create("holding")
    pid = held_by(stage)
    transition(DjangoSession(), run.id, Cancelling())
    assert stage.ended(run).state_type == "CANCELLED"
    assert run.task_runs.get().state_type == "CANCELLED"
    wait_until(lambda: not is_alive(pid), what="the process of the task ends")


def test_a_killed_agent_leaves_no_process(stage: RunnersStage) -> None:
    agent = stage.agent()
    stage.create("holding")
    pid = held_by(stage)
    agent.kill()
    wait_until(lambda: not is_alive(pid), what="the process of the task ends")
