"""`AgentsTaskRunner` in isolated runs: their tasks go, through the API, to agents that fork."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.models import WorkPool
from runs.cancel import cancel
from runs.models import Artifact, Errand, FlowRun, Log
from runs.session import DjangoSession
from tests.factories import make_deployment, make_queue
from tests.faults.conftest import Stage, is_alive
from tests.isolation.conftest import IsolatedStage
from tests.processes import RunningStack, wait_until
from tests.standing import StandingServer

pytestmark = pytest.mark.processes

RUNNERS = Path(__file__).parent.parent / "runners"


class SpreadStage(IsolatedStage):
    """Isolated runs of the flows of `tests/runners`, and an agent of the default pool that helps them."""

    def __init__(self, stack: RunningStack, api_url: str) -> None:
        super().__init__(stack, api_url)
        make_queue()
        self.agent()

    def helper(self) -> None:
        Stage.agent(self)

    def create(self, flow: str, **parameters: object) -> FlowRun:
        where = {"path": str(RUNNERS), "entrypoint": f"agents_flow_file.py:{flow}"}
        make_deployment(flow, flow, queue=self.queue, **where)
        return super().create(flow, **parameters)


@pytest.fixture
def stage(standing: StandingServer, tmp_path: Path) -> Iterator[SpreadStage]:
    with standing.helped(tmp_path) as stack:
        yield SpreadStage(stack, standing.url)


def test_tasks_run_in_agents_and_report_to_their_flow(stage: SpreadStage) -> None:
    stage.helper()

    run = stage.ended(stage.create("spread"), timeout=60)

    assert run.state_type == "COMPLETED", run.state_message
    assert run.task_runs.filter(state_type="COMPLETED").count() == 23
    assert Log.objects.filter(flow_run=run, message__startswith="doubling").count() == 20
    assert Artifact.objects.get(flow_run=run).key == "report"
    assert FlowRun.objects.get(flow__name="negated").state_type == "COMPLETED"
    assert not Errand.objects.exists()


def test_without_a_free_agent_the_flow_helps_itself(stage: SpreadStage) -> None:
    run = stage.ended(stage.create("alone"), timeout=60)

    assert run.state_type == "COMPLETED", run.state_message


def test_cancelling_the_flow_ends_its_tasks(stage: SpreadStage) -> None:
    stage.helper()
    run = stage.create("holding")
    held = wait_until(lambda: [*stage.folder.glob("held-*")], what="a task begins")[0]
    task = int(wait_until(held.read_text))

    cancel(DjangoSession(), run.id, "somebody", False)

    assert stage.ended(run).state_type == "CANCELLED"
    wait_until(lambda: not is_alive(task), what="its process ends")
    wait_until(lambda: not Errand.objects.exists(), what="nothing of it waits")


def test_what_goes_wrong_in_an_agent_is_told(stage: SpreadStage) -> None:
    stage.helper()

    run = stage.ended(stage.create("failing"), timeout=60)

    assert run.state_type == "COMPLETED", run.state_message
    ends = dict(line.split(": ", 1) for line in (stage.folder / "ends").read_text().splitlines())
    assert ends["died"].startswith("Crashed: The process of the task run died: exit code 0")
    assert ends["dawdled"] == "TimedOut: Task run exceeded timeout of 0.5 second(s)"
    assert "at most 16 MiB can be sent" in ends["swollen"]


def test_a_queue_whose_agents_do_not_fork_is_refused_when_it_is_used(stage: SpreadStage) -> None:
    WorkPool.objects.filter(name="default").update(type=WorkPool.Type.PROCESS)

    run = stage.ended(stage.create("alone"))

    assert run.state_type == "FAILED"
    assert "a pool of the kind 'agents', and 'default' is of the kind 'process'" in run.state_message
