"""The pages on which capacity is set: pools, queues, limits, deployments, and a run's "Run next"."""

from uuid import uuid4

import pytest
from django.test import Client

from agents.models import WorkPool, WorkQueue
from flows.models import Deployment
from runs.limits import Wanted, acquire
from runs.models import ConcurrencyLimit, FlowRun
from runs.models.flow_run import NEXT
from runs.session import DjangoSession
from tests.factories import default_workspace, lease, make_deployment, make_run

pytestmark = pytest.mark.django_db


def test_the_pools_show_how_much_of_them_is_taken(superuser: Client) -> None:
    lease(make_run(make_deployment()))
    WorkPool.objects.update(concurrency_limit=3)
    WorkQueue.objects.update(concurrency_limit=2, paused=True)

    page = superuser.get("/admin/agents/workpool/").content.decode()

    assert "1 of 3" in page
    assert "default (paused, at most 2)" in page


def test_a_limit_shows_who_stands_in_line(superuser: Client) -> None:
    limit = ConcurrencyLimit.objects.create(workspace=default_workspace(), name="database", limit=1)
    for name in ("first", "second"):
        run = make_run(name=name)
        FlowRun.objects.filter(id=run.id).update(state_type="RUNNING")
        acquire(DjangoSession(), Wanted(run.workspace_id, uuid4(), ["database"], 1, 60, flow_run_id=run.id))

    page = superuser.get(f"/admin/runs/concurrencylimit/{limit.id}/change/").content.decode()

    assert page.index(">first<") < page.lower().index("waiting, in this order") < page.index(">second<")


def test_a_holder_that_did_not_say_who_it_is_has_no_name(superuser: Client) -> None:
    limit = ConcurrencyLimit.objects.create(workspace=default_workspace(), name="database", limit=1)
    acquire(DjangoSession(), Wanted(limit.workspace_id, uuid4(), ["database"], 1, 60))

    for page in ("", f"{limit.id}/change/"):
        assert "did not say who" in superuser.get(f"/admin/runs/concurrencylimit/{page}").content.decode()


def test_a_deployment_s_limit_is_set_on_its_page(superuser: Client) -> None:
    deployment = make_deployment()
    body = {
        "work_queue": str(deployment.work_queue_id),
        "parameters": "{}",
        "concurrency_limit": "2",
        "collision_strategy": "KEEP_LATEST",
        "schedules-TOTAL_FORMS": "0",
        "schedules-INITIAL_FORMS": "0",
    }

    answer = superuser.post(f"/admin/flows/deployment/{deployment.id}/change/", body)

    assert answer.status_code == 302
    changed = Deployment.objects.get(id=deployment.id)
    assert (changed.concurrency_limit, changed.collision_strategy) == (2, "KEEP_LATEST")


def test_a_waiting_run_is_put_first_on_its_page(superuser: Client) -> None:
    run = make_run()
    page = f"/admin/runs/flowrun/{run.id}/"
    assert "Run next" in superuser.get(page).content.decode()

    assert superuser.post(f"{page}next").status_code == 302

    assert FlowRun.objects.get(id=run.id).priority == NEXT
    assert 'form="run-next"' not in superuser.get(page).content.decode()


def test_how_processes_start_is_asked_where_it_plays_a_part(superuser: Client) -> None:
    make_deployment()
    pool = WorkPool.objects.get()
    path = f"/admin/agents/workpool/{pool.id}/change/"
    assert "memory_mb" not in superuser.get(path).content.decode()

    WorkPool.objects.update(type="process")

    assert "memory_mb" in superuser.get(path).content.decode()
    assert "memory_mb" in superuser.get("/admin/agents/workpool/add/").content.decode()
    body = {
        "type": "process",
        "environment": '{"CITY": 3}',
        "memory_mb": "8",
        "queues-TOTAL_FORMS": "0",
        "queues-INITIAL_FORMS": "0",
    }
    refused = superuser.post(path, body).content.decode()
    assert "It must have a text as the value of CITY." in refused
    assert "greater than or equal to 128" in refused
    good = {**body, "environment": '{"CITY": "Oslo"}', "memory_mb": "512", "python": "/opt/venv"}
    assert superuser.post(path, good).status_code == 302
    changed = WorkPool.objects.get()
    assert (changed.environment, changed.memory_mb, changed.python) == ({"CITY": "Oslo"}, 512, "/opt/venv")
