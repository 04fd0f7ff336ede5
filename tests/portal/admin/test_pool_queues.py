"""The pages of pools: what waits and runs in each queue, and who serves it."""

from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client

from agents.models import Agent, WorkPool
from portal.pages.pool_queues import counted, lines
from runs.models import FlowRun
from tests.factories import lease, make_deployment, make_queue, make_run

pytestmark = pytest.mark.django_db
POOLS = "/admin/agents/workpool/"


def make_agent(*queues: object) -> None:
    now = datetime.now(UTC)
    Agent.objects.create(
        name="a", hostname="h", pid=1, started=now, last_seen=now, queues=[each.id for each in queues]
    )


def test_a_queue_is_counted_by_what_is_due_under_way_and_served(db: None) -> None:
    queue = make_queue("fast", "gpu")
    deployment = make_deployment(queue=queue)
    make_run(deployment)
    lease(make_run(deployment))
    ahead = make_run(deployment)
    later = datetime.now(UTC) + timedelta(hours=1)
    FlowRun.objects.filter(id=ahead.id).update(expected_start_time=later)
    make_agent(queue)

    (line,) = lines([queue])

    assert (line.due, line.under_way, line.agents) == (1, 1, 1)
    assert line.command == "python manage.py rqworker gpu/fast"


def test_queues_stand_in_the_order_in_which_they_are_served(db: None) -> None:
    low, high = make_queue("a", "gpu"), make_queue("z", "gpu")
    low.priority, high.priority = 2, 1

    assert [line.queue.name for line in lines([low, high])] == ["z", "a"]


def test_the_page_of_a_pool_says_how_to_start_who_is_missing(superuser: Client) -> None:
    queue = make_queue("fast", "gpu")
    make_run(make_deployment(queue=queue))
    url = f"{POOLS}{queue.work_pool_id}/change/"

    assert "rqworker gpu/fast" in superuser.get(url).content.decode()
    make_agent(queue)
    served = superuser.get(url).content.decode()
    assert "rqworker gpu/fast" not in served
    assert f"?work_queue__id__exact={queue.id}&amp;state_type__exact=SCHEDULED" in served


def test_the_links_of_a_queue_lead_to_its_runs_alone(superuser: Client) -> None:
    queue = make_queue("fast", "gpu")
    mine, other = make_run(make_deployment(queue=queue)), make_run()

    page = superuser.get(
        "/admin/runs/flowrun/",
        {"work_queue__id__exact": str(queue.id), "state_type__exact": "SCHEDULED"},
    ).content.decode()

    assert mine.name in page
    assert f"/{other.id}/" not in page


def test_the_list_names_queues_whose_runs_wait_for_nobody(superuser: Client) -> None:
    make_run(make_deployment(queue=make_queue("fast", "gpu")))
    assert "none for fast" in superuser.get(POOLS).content.decode()

    WorkPool.objects.filter(name="gpu").update(type=WorkPool.Type.PREFECT)
    assert "none for fast" not in superuser.get(POOLS).content.decode()


def test_a_number_that_was_counted_no_further_says_so() -> None:
    assert [counted(number) for number in (0, 1000, 1001)] == ["0", "1,000", "1,000+"]
