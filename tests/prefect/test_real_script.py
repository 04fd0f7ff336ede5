"""A script with Prefect's own decorators: what it did stands in Portal."""

from collections import defaultdict

import pytest

from runs.models import Artifact, Event, FlowRun, Log, TaskRun
from tests.prefect.client import PrefectClient

SCRIPT = """
import asyncio

from prefect import flow, get_client, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.filters import FlowRunFilter, LogFilter
from prefect.client.schemas.sorting import FlowRunSort
from prefect.events import emit_event
from prefect.events.clients import get_events_subscriber
from prefect.events.filters import EventAnyResourceFilter, EventFilter
from prefect.logging.clients import get_logs_subscriber

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

async def look():
    async with get_client() as client:
        run = (await client.read_flow_runs(sort=FlowRunSort.START_TIME_ASC))[0]
        only = {"flow_run_filter": FlowRunFilter(id={"any_": [run.id]})}
        tasks = await client.read_task_runs(**only)
        print("tasks", sorted(task.name.rpartition("-")[0] for task in tasks))
        print("artifact", (await client.read_artifacts(**only))[0].data)
        print("states", [state.name for state in await client.read_task_run_states(tasks[0].id)][-1])
    of_run = EventAnyResourceFilter(id=[f"prefect.flow-run.{run.id}"])
    async with get_events_subscriber(filter=EventFilter(any_resource=of_run)) as events:
        async for event in events:
            print("event", event.event)
            if event.event == "prefect.flow-run.Completed":
                break
    async with get_logs_subscriber(filter=LogFilter(flow_run_id={"any_": [run.id]})) as lines:
        async for line in lines:
            print("line", line.message)
            if line.message.startswith("Finished in state"):
                break

asyncio.run(look())
"""


def tasks_of(run: FlowRun) -> dict[str, list[str]]:
    """The states of the run's task runs, by task."""
    found: dict[str, list[str]] = defaultdict(list)
    for key, state in TaskRun.objects.filter(flow_run=run).values_list("task_key", "state_name"):
        found[key.rpartition("-")[0]].append(state)
    return dict(found)


@pytest.mark.processes
def test_a_script_is_seen_as_it_went(prefect_client: PrefectClient) -> None:
    (prefect_client.folder / "etl.py").write_text(SCRIPT)

    said = prefect_client.run("etl.py")

    assert "result 48" in said
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
    assert "tasks ['child', 'double', 'double', 'double', 'double', 'flaky']" in said
    assert "artifact # done" in said
    assert "states Completed" in said
    assert "event prefect.flow-run.Running" in said
    assert "line trying" in said
