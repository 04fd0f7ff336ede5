"""The pages of background tasks: what there is, what it waits for, cancel and retry."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from agents.registry import resolve
from flows.models import Workspace
from flows.sdk.ids import uuid7
from flows.sdk.states import Completed, Failed, Running, State
from runs import background, errands
from runs.models import BackgroundTask, Errand, TaskRun
from runs.session import DjangoSession
from tests.portal.pages.test_flow_run import client_as

pytestmark = pytest.mark.django_db

LIST = "/admin/runs/backgroundtask/"
SECRET = b"password=hunter2"


def new(workspace: Workspace, for_agents: bool = True) -> BackgroundTask:
    id = uuid7()
    queue = resolve("default", workspace.name)
    task = background.NewTask(
        id,
        workspace.id,
        queue.id,
        "shop.send_receipt",
        f"send_receipt-{id.hex[-8:]}",
        ["mail"],
        for_agents,
        SECRET,
    )
    with DjangoSession().transaction() as tx:
        background.create(tx, task)
    return BackgroundTask.objects.get(id=id)


def end(task: BackgroundTask, state: State) -> None:
    """Let a worker take it and report its end."""
    holder = errands.Holder(uuid4(), None, "task worker there:7")
    with DjangoSession().transaction() as tx:
        assert task.workspace_id is not None
        taken = errands.claim_by_key(tx, holder, task.workspace_id, ["shop.send_receipt"])
        assert taken is not None
        background.report(
            tx, taken.id, holder.id, [reported(Running(), 1), reported(state, 2)], [], b"signed"
        )


def reported(state: State, sequence: int) -> dict[str, Any]:
    return {
        "id": state.id, "type": state.type.value, "name": state.name, "message": state.message,
        "timestamp": state.timestamp, "sequence": sequence, "run_count": 1, "start_time": state.timestamp,
        "end_time": state.timestamp if state.is_terminal() else None, "total_run_time": 0.0,
    }  # fmt: skip


def url(task: BackgroundTask, tail: str = "") -> str:
    return f"{LIST}{task.id}/{tail}"


def page_of(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    return answer.content.decode()


@pytest.fixture
def operator_client(workspace: Workspace) -> Iterator[Client]:
    yield client_as("operator", workspace)


def test_without_any_it_says_how_to_make_one(operator_client: Client) -> None:
    assert "send_receipt.delay(42)" in page_of(operator_client, LIST)


def test_the_list_shows_each_with_its_state(operator_client: Client, workspace: Workspace) -> None:
    failed, _ = new(workspace), new(workspace)
    end(failed, Failed(message="ValueError: no address"))

    page = page_of(operator_client, LIST)

    assert 'title="shop.send_receipt"' in page
    assert "badge state-failed" in page and "badge state-scheduled" in page
    assert "ValueError: no address" in page
    assert "task worker there:7" in page
    assert page_of(operator_client, f"{LIST}?state_type__exact=FAILED").count("send_receipt-") == 1


def test_a_long_list_costs_the_same_and_pages_on(
    operator_client: Client, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portal.admin.background_tasks.BackgroundTaskAdmin.list_per_page", 3)
    new(workspace)
    with CaptureQueriesContext(connection) as few:
        page_of(operator_client, LIST)
    made = [new(workspace) for _ in range(5)]
    with CaptureQueriesContext(connection) as many:
        page = page_of(operator_client, LIST)

    assert len(many) == len(few)
    assert "Older" in page
    assert made[0].name in page_of(operator_client, f"{LIST}?p={made[2].id}")
    assert made[2].name not in page_of(operator_client, f"{LIST}?p={made[2].id}")


def test_a_task_that_waits_says_what_for(operator_client: Client, workspace: Workspace) -> None:
    task = new(workspace)
    own = new(workspace, for_agents=False)

    assert "No agent serves queue &#x27;default&#x27;" in page_of(operator_client, url(task))
    assert "waits for a process that serves the task" in page_of(operator_client, url(own))
    resolve("default", workspace.name)
    queue = Errand.objects.get(id=task.id).work_queue
    queue.paused = True
    queue.save()
    assert "Queue &#x27;default&#x27; is paused for agents." in page_of(operator_client, url(task))


def test_arguments_are_not_shown(operator_client: Client, workspace: Workspace) -> None:
    page = page_of(operator_client, url(new(workspace)))

    assert "hunter2" not in page
    assert "only its worker opens them" in page


def test_cancel_and_retry(operator_client: Client, workspace: Workspace) -> None:
    waiting, failed = new(workspace), new(workspace)
    operator_client.post(url(waiting, "cancel"))
    assert TaskRun.objects.get(id=waiting.id).state_type == "CANCELLED"
    end(failed, Failed(message="ValueError: no address"))
    assert ">Retry<" in page_of(operator_client, url(failed))

    operator_client.post(url(failed, "retry"))

    again = TaskRun.objects.get(id=failed.id)
    assert (again.state_type, again.state_message) == ("SCHEDULED", "Retried by operator-of-default.")
    assert bytes(Errand.objects.get(id=failed.id).payload) == SECRET
    end(failed, Completed())
    assert TaskRun.objects.get(id=failed.id).state_type == "COMPLETED"
    assert ">Retry<" not in page_of(operator_client, url(failed))
    told = operator_client.post(url(failed, "retry"), follow=True).content.decode()
    assert "cannot be retried" in told


@pytest.mark.parametrize("action", ["cancel", "retry"])
def test_viewers_look_and_strangers_do_not(workspace: Workspace, elsewhere: Workspace, action: str) -> None:
    task = new(workspace)
    viewer, foreigner = client_as("viewer", workspace), client_as("admin", elsewhere)

    assert ">Cancel<" not in page_of(viewer, url(task))
    assert viewer.post(url(task, action)).status_code == 403
    assert foreigner.post(url(task, action)).status_code == 404
    assert foreigner.get(url(task)).status_code == 404
    assert task.name not in page_of(foreigner, LIST)
    assert TaskRun.objects.get(id=task.id).state_type == "SCHEDULED"


def test_task_runs_of_flows_are_not_among_them(operator_client: Client) -> None:
    assert operator_client.get(f"{LIST}{UUID(int=1)}/").status_code == 404
