"""What code can find out about the run around it."""

from datetime import UTC, datetime
from uuid import UUID

from flows import flow, runtime, task
from flows.sdk.backend import Backend, backed_by
from flows.sdk.engine import run_flow
from flows.sdk.memory import MemoryRecorder
from flows.sdk.memory_backend import memory_backend
from flows.sdk.recorder import FlowRunInfo

DUE = datetime(2026, 1, 2, tzinfo=UTC)
RUN = FlowRunInfo(
    id=UUID(int=1),
    name="spry-anteater",
    flow_name="report",
    parameters={"year": 1962},
    tags=("nightly",),
    deployment_id=UUID(int=2),
    deployment_name="prod",
    scheduled_start_time=DUE,
    deployment_version="v7",
    deployment_parameters={"year": 1900},
    work_queue_name="default",
    work_pool_name="big",
    job_variables={"memory": 512},
    parent_deployment_id=UUID(int=3),
)


def test_a_flow_knows_its_run_and_deployment() -> None:
    found: dict[str, object] = {}

    @flow(version="2")
    def report(year: int) -> None:
        for part in ("flow_run", "deployment"):
            about = getattr(runtime, part)
            names = [name for name in dir(about) if not name.startswith("_")]
            found.update({f"{part}.{name}": getattr(about, name) for name in names})

    memory = memory_backend()
    with backed_by(Backend(memory.runs, memory.variables, memory.blocks, "https://portal.example/")):
        run_flow(report, RUN.parameters, recorder=MemoryRecorder(), run=RUN)

    assert found == {
        "flow_run.id": str(UUID(int=1)),
        "flow_run.name": "spry-anteater",
        "flow_run.flow_name": "report",
        "flow_run.flow_version": "2",
        "flow_run.parameters": {"year": 1962},
        "flow_run.tags": ["nightly"],
        "flow_run.run_count": 1,
        "flow_run.scheduled_start_time": DUE,
        "flow_run.parent_flow_run_id": None,
        "flow_run.parent_deployment_id": str(UUID(int=3)),
        "flow_run.job_variables": {"memory": 512},
        "flow_run.root_flow_run_id": str(UUID(int=1)),
        "flow_run.work_queue_name": "default",
        "flow_run.work_pool_name": "big",
        "flow_run.api_url": f"https://portal.example/api/flow_runs/{UUID(int=1)}",
        "flow_run.ui_url": f"https://portal.example/admin/runs/flowrun/{UUID(int=1)}",
        "deployment.id": str(UUID(int=2)),
        "deployment.name": "prod",
        "deployment.version": "v7",
        "deployment.parameters": {"year": 1900},
        "deployment.flow_run_id": str(UUID(int=1)),
    }


def test_a_task_knows_its_call() -> None:
    @task
    def add(left: int, right: int = 2) -> dict[str, int]:
        return runtime.task_run.parameters

    assert flow(lambda: add(1), name="work")() == {"left": 1, "right": 2}


def test_a_subflow_knows_who_called_it() -> None:
    inner = flow(lambda: (runtime.flow_run.parent_flow_run_id, runtime.flow_run.root_flow_run_id), name="in")

    @flow
    def outer() -> bool:
        return inner() == (runtime.flow_run.id, runtime.flow_run.id)

    assert outer()


def test_outside_runs_there_is_nothing() -> None:
    assert runtime.flow_run.id is None
    assert runtime.flow_run.ui_url is None
    assert runtime.task_run.parameters == {}
    assert runtime.deployment.parameters == {}


def test_a_subflow_knows_the_deployment_of_its_caller() -> None:
    @flow
    def inner() -> tuple[str | None, str | None]:
        return runtime.flow_run.parent_deployment_id, runtime.deployment.id

    @flow
    def report(year: int) -> tuple[str | None, str | None]:
        return inner()

    state = run_flow(report, RUN.parameters, recorder=MemoryRecorder(), run=RUN)
    assert state.result() == (str(UUID(int=2)), None)
