"""Tasks in agents: two real agents, or more, and what happens when they are killed, cancelled or lied to."""

import signal
from pathlib import Path

import pytest
from django.db import connection

from flows.models import Deployment, Workspace
from flows.scoping import Actor
from flows.sdk.states import Cancelling
from runs.models import Artifact, Errand, FlowRun, Log, TaskRun
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
    run = stage.ended(stage.create(flow))
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


def test_tasks_of_a_killed_agent_are_tried_again_elsewhere(stage: AgentsStage) -> None:
    agents = [stage.agent() for _ in range(3)]
    run = stage.create("surviving")
    pid = stage.held(1)
    next(agent for agent in agents if agent.pid == parent_of(pid)).kill()
    assert not_alive_soon(pid)
    assert stage.ended(run).state_type == "COMPLETED"
    tried_again = run.task_runs.get(dynamic_key="1")
    assert tried_again.run_count == 2
    assert "stopped responding" in tried_again.states.get(name="AwaitingRetry").message


def test_an_agent_that_stops_hands_its_task_back(stage: AgentsStage) -> None:
    agents = [stage.agent("--drain-seconds", "0") for _ in range(3)]
    run = stage.create("surviving")
    pid = stage.held(1)
    helper = next(agent for agent in agents if agent.pid == parent_of(pid))
    helper.signal(signal.SIGTERM)
    assert helper.wait() == 0
    assert not_alive_soon(pid)
    assert stage.ended(run).state_type == "COMPLETED"
    assert run.task_runs.get(dynamic_key="1").run_count == 1


def test_cancelling_a_flow_ends_its_tasks_everywhere(stage: AgentsStage) -> None:
    for _ in range(3):
        stage.agent()
    run = stage.create("holding")
    pids = [stage.held(1), stage.held(2)]
    transition(DjangoSession(), run.id, Cancelling())
    assert stage.ended(run).state_type == "CANCELLED"
    wait_until(lambda: not any(map(is_alive, pids)), what="both processes end")
    assert set(run.task_runs.values_list("state_type", flat=True)) == {"CANCELLED"}
    assert not Errand.objects.exists()


def test_tasks_end_with_the_agent_of_their_flow(stage: AgentsStage) -> None:
    agents = [stage.agent() for _ in range(3)]
    run = stage.create("holding")
    pids = [stage.held(1), stage.held(2)]
    helpers = {parent_of(pid) for pid in pids}
    next(agent for agent in agents if agent.pid not in helpers).kill()
    stage.stack.start("scheduler")
    assert stage.ended(run).state_type == "CRASHED"
    wait_until(lambda: not any(map(is_alive, pids)), what="both processes end")
    wait_until(lambda: not Errand.objects.exists(), what="their rows are removed")


def test_what_goes_wrong_in_an_agent_is_told(stage: AgentsStage) -> None:
    stage.agent()
    helper = stage.agent()
    completed(stage, "failing")
    ends = dict(line.split(": ", 1) for line in (stage.folder / "ends").read_text().splitlines())
    assert ends["died"].startswith("Crashed: The process of the task run died: exit code 0")
    assert ends["dawdled"] == "TimedOut: Task run exceeded timeout of 0.5 second(s)"
    assert "at most 16 MiB can be sent" in ends["swollen"]
    assert not_alive_soon(stage.held(0))
    assert helper.is_alive


def test_an_altered_call_is_not_opened(stage: AgentsStage) -> None:
    stage.agent()
    run = stage.create("holding")
    wait_until(lambda: Errand.objects.count() == 2, what="the flow hands in its errands")
    first, second = Errand.objects.order_by("id")
    Errand.objects.filter(id=first.id).update(payload=second.payload)  # signed, but as another errand
    helper = stage.agent()
    helper.wait_for("was altered")
    wait_until(lambda: run.task_runs.filter(id=first.task_run_id, state_type="CRASHED").exists())
    number = {"hold-0": 1, "hold-1": 2}[second.name]
    assert stage.held(number)
    assert not (stage.folder / f"held-{3 - number}").exists()
    assert helper.output.count("was altered") == 1


def test_strangers_see_no_errands(stage: AgentsStage) -> None:
    stage.agent()
    stage.create("holding")
    wait_until(lambda: Errand.objects.exists() and TaskRun.objects.exists(), what="the tasks are known")
    stranger = Actor(user_id=1, workspace_id=Workspace.objects.create(name="elsewhere").id)
    assert not Errand.objects.for_actor(stranger).exists()
    assert not TaskRun.objects.for_actor(stranger).exists()
    assert TaskRun.objects.for_actor(Actor(user_id=1, is_superuser=True)).exists()


def test_lost_connections_to_the_database_cost_no_task(stage: AgentsStage) -> None:
    stage.agent()
    stage.agent()
    run = stage.create("lasting")
    for done in (5, 20, 35):
        wait_until(lambda n=done: run.task_runs.filter(state_type="COMPLETED").count() > n)
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
    assert stage.ended(run).state_type == "COMPLETED", run.state_message
    assert run.task_runs.filter(run_count=1).count() == 60


def test_tasks_stay_in_their_workspace(stage: AgentsStage) -> None:
    Workspace.objects.create(name="acme")
    stage.agent()
    run = stage.ended(stage.create("trespassing"))
    assert run.state_type == "FAILED"
    assert "tasks stay in the workspace of their flow" in run.state_message


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def not_alive_soon(pid: int) -> bool:
    wait_until(lambda: not is_alive(pid), what="the process ends")
    return True
