"""What Portal's pages say of what Prefect's processes run."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from agents.models import Worker, WorkPool
from agents.pools import note_heartbeat
from agents.services.database import database_time
from flows.models import Deployment, Schedule, Workspace
from tests.factories import make_deployment, make_queue, make_run
from tests.portal.fixtures import member as member

pytestmark = pytest.mark.django_db
Member = Callable[[str], Client]


@pytest.fixture
def served(workspace: Workspace) -> Deployment:
    """A deployment that `flow.serve()` made."""
    deployment = make_deployment(
        tags=["srv"],
        labels={"prefect.flow.id": "x"},
        pull_steps=[{"prefect.deployments.steps.git_clone": {"access_token": "hunter2"}}],
    )
    Deployment.objects.update(work_queue=None)
    deployment.refresh_from_db()
    return deployment


def page_of(deployment: Deployment) -> str:
    return f"/admin/flows/deployment/{deployment.id}/change/"


def test_the_page_says_who_runs_a_deployment(member: Member, served: Deployment) -> None:
    text = member("editor").get(page_of(served)).content.decode()

    assert "Run by Prefect" in text
    assert "Nobody has asked for its runs yet" in text
    assert "prefect.deployments.steps.git_clone" in text
    assert "hunter2" not in text, "options of steps may be secrets"
    assert 'name="hand_back"' not in text, "that is asked of agents"


def test_a_deployment_of_agents_says_nothing_of_prefect(member: Member, deployment: Deployment) -> None:
    text = member("editor").get(page_of(deployment)).content.decode()

    assert "Run by Prefect" not in text
    assert 'name="hand_back"' in text


def test_lists_show_tags_and_no_labels(member: Member, served: Deployment) -> None:
    make_run(served)
    viewer = member("viewer")

    deployments, runs = (
        viewer.get(page).content.decode() for page in ("/admin/flows/deployment/", "/admin/runs/flowrun/")
    )

    assert "served by Prefect" in deployments
    for text in (deployments, runs):
        assert ">srv<" in text
        assert "prefect.flow.id" not in text


def test_what_comes_next_says_that_its_deployment_is_paused(member: Member, served: Deployment) -> None:
    Schedule.objects.create(deployment=served, cron="@daily")
    viewer = member("viewer")
    assert ", once it is resumed" not in viewer.get(page_of(served)).content.decode()

    Deployment.objects.update(paused=True)

    assert "Next 20, once it is resumed" in viewer.get(page_of(served)).content.decode()


def change(client: Client, deployment: Deployment, queue_id: Any) -> Any:
    form = {"work_queue": queue_id, "parameters": "{}", "tags": "", "description": ""}
    return client.post(page_of(deployment), form)


def test_a_deployment_does_not_change_sides(
    member: Member, served: Deployment, deployment: Deployment
) -> None:
    editor, of_agents = member("editor"), make_queue()
    of_prefect = make_queue(pool="px")
    WorkPool.objects.filter(name="px").update(type="prefect")

    assert change(editor, served, of_agents.id).status_code == 200, "refused: the form again"
    assert change(editor, deployment, of_prefect.id).status_code == 200
    assert change(editor, deployment, "").status_code == 200
    assert change(editor, served, of_prefect.id).status_code == 302

    assert dict(Deployment.objects.values_list("id", "work_queue")) == {
        served.id: of_prefect.id,
        deployment.id: deployment.work_queue_id,
    }


def test_the_page_of_a_pool_shows_its_workers(member: Member, workspace: Workspace) -> None:
    pool = make_queue(pool="px").work_pool
    WorkPool.objects.update(type="prefect")
    note_heartbeat(pool, "anna", 30)
    note_heartbeat(pool, "bert", 30)
    Worker.objects.filter(name="bert").update(last_heartbeat_time=database_time() - timedelta(minutes=2))
    path = f"/admin/agents/workpool/{pool.id}/change/"

    text = member("viewer").get(path).content.decode()

    anna, bert = (text.index(f">{name}<") for name in ("anna", "bert"))
    assert text.index(">online<") < anna < text.index(">silent<") < bert
    WorkPool.objects.update(type="agents")
    assert "anna" not in member("operator").get(path).content.decode()


def test_the_links_that_clients_print_lead_to_the_pages_here(member: Member, served: Deployment) -> None:
    run, queue = make_run(served), make_queue(pool="px")
    viewer = member("viewer")

    for link, page in {
        f"/runs/flow-run/{run.id}": f"/admin/runs/flowrun/{run.id}/",
        f"/deployments/deployment/{served.id}": page_of(served),
        f"/flows/flow/{served.flow_id}": f"/admin/flows/flow/{served.flow_id}/change/",
        "/work-pools/work-pool/px": f"/admin/agents/workpool/{queue.work_pool_id}/change/",
        f"/work-queues/work-queue/{queue.id}": f"/admin/agents/workpool/{queue.work_pool_id}/change/",
        "/work-pools/work-pool/nope": "/admin/",
    }.items():
        assert viewer.get(link)["Location"] == page
    assert viewer.get(f"/work-queues/work-queue/{uuid4()}").status_code == 404
    assert Client().get(f"/runs/flow-run/{run.id}")["Location"].startswith("/admin/login/")
