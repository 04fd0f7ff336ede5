"""A script with Prefect's own decorators: what it did stands in Portal."""

from collections import defaultdict

from runs.models import Artifact, Event, FlowRun, Log, TaskRun
from tests.prefect.client import PrefectClient

SCRIPT = """
from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.events import emit_event

tries = []

@task(retries=1)
def flaky():
    get_run_logger().info("trying")
    tries.append(1)
    if len(tries) == 1:
        raise ValueError("once")

@task
def double(x):
    return 2 * x

@flow
def child(v):
    return double(v)

@flow(log_prints=True)
def parent():
    flaky()
    doubled = double.map([1, 2, 3])
    total = double.submit(sum(doubled.result()))
    create_markdown_artifact("# done", key="report")
    emit_event("order.paid", resource={"prefect.resource.id": "order.1"})
    print("total", total.result())
    return child(total)

print("result", parent())
"""


def tasks_of(run: FlowRun) -> dict[str, list[str]]:
    """The states of the run's task runs, by task."""
    found: dict[str, list[str]] = defaultdict(list)
    for key, state in TaskRun.objects.filter(flow_run=run).values_list("task_key", "state_name"):
        found[key.rpartition("-")[0]].append(state)
    return dict(found)


def test_a_script_is_seen_as_it_went(prefect_client: PrefectClient) -> None:
    (prefect_client.folder / "etl.py").write_text(SCRIPT)

    assert "result 48" in prefect_client.run("etl.py")

    parent, child = FlowRun.objects.order_by("created")
    assert (parent.state_name, child.state_name) == ("Completed", "Completed")
    assert tasks_of(parent) == {
        "flaky": ["Completed"],
        "double": ["Completed"] * 4,
        "child": ["Completed"],
    }
    assert tasks_of(child) == {"double": ["Completed"]}
    flaky = TaskRun.objects.get(task_key__startswith="flaky")
    states = flaky.states.order_by("timestamp").values_list("name", flat=True)
    assert list(states) == ["Pending", "Running", "Retrying", "Completed"]
    assert Log.objects.filter(flow_run=parent, message="trying", task_run_id=flaky.id).count() == 2
    assert Log.objects.filter(flow_run=parent, message__startswith="total 24").exists()
    assert Artifact.objects.get().flow_run == parent
    assert Event.objects.filter(event="order.paid").exists()
    assert parent.last_heartbeat is not None
