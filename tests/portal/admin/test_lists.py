"""The lists: as many queries for many rows as for one, no COUNT of runs, every run once."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from agents.models import Agent, ServiceStatus
from flows.models import Deployment, Schedule, Workspace
from portal.access.tokens import create_token
from runs.models import ConcurrencyLimit, FlowRun
from tests.factories import default_workspace, make_deployment, make_queue, make_run

pytestmark = pytest.mark.django_db
RUNS = "/admin/runs/flowrun/"


def make_agent(number: int) -> None:
    now = datetime.now(UTC)
    queues = [make_queue().id]
    Agent.objects.create(
        name=f"a{number}", hostname="h", pid=number, started=now, last_seen=now, queues=queues
    )


def make_service(number: int) -> None:
    ServiceStatus.objects.create(name=f"loop-{number}", hostname="h", pid=1, last_success=datetime.now(UTC))


def make_token(number: int) -> None:
    from django.contrib.auth import get_user_model

    user = get_user_model().objects.create_user(f"user-{number}")
    create_token(user, Workspace.objects.get(name="default"))


def make_limit(number: int) -> None:
    limit = ConcurrencyLimit.objects.create(workspace=default_workspace(), name=f"l-{number}", limit=9)
    for _ in range(3):
        moment = datetime.now(UTC)
        until = moment + timedelta(minutes=5)
        limit.slots.create(lease=uuid4(), occupied=1, flow_run=make_run(), acquired=moment, expires=until)


LISTS: dict[str, Callable[[int], Any]] = {
    "/admin/": lambda number: make_run(make_deployment(name=f"d-{number}")),
    RUNS: lambda number: make_run(make_deployment(name=f"d-{number}", flow=f"f-{number}")),
    "/admin/flows/deployment/": lambda number: make_run(make_deployment(name=f"d-{number}")),
    "/admin/flows/flow/": lambda number: make_deployment(name=f"d-{number}", flow=f"f-{number}"),
    "/admin/flows/workspace/": lambda number: Workspace.objects.create(name=f"w-{number}"),
    "/admin/agents/workpool/": lambda number: make_queue(pool=f"p-{number}"),
    "/admin/runs/concurrencylimit/": make_limit,
    "/admin/agents/agent/": make_agent,
    "/admin/agents/servicestatus/": make_service,
    "/admin/portal/apitoken/": make_token,
}


def queries_of(client: Client, url: str) -> list[str]:
    with CaptureQueriesContext(
        connection,
    ) as captured:
        assert client.get(url).status_code == 200
    return [query["sql"] for query in captured.captured_queries]


@pytest.mark.parametrize("url", LISTS)
def test_a_list_takes_as_many_queries_for_many_rows_as_for_two(superuser: Client, url: str) -> None:
    LISTS[url](0)
    LISTS[url](1)
    few = queries_of(superuser, url)

    for number in range(2, 12):
        LISTS[url](number)

    assert len(queries_of(superuser, url)) == len(few) <= 17


def test_no_page_counts_all_runs(superuser: Client) -> None:
    run = make_run()
    about = f"/admin/flows/deployment/{run.deployment_id}/change/"
    pages = ["/admin/", RUNS, f"{RUNS}?state_type__exact=FAILED", about]

    read = [sql for page in pages for sql in queries_of(superuser, page) if 'FROM "runs_flowrun"' in sql]

    assert len(read) >= len(pages)
    assert [sql for sql in read if "LIMIT" not in sql] == []


def names_on(page: str) -> list[str]:
    return re.findall(r'<a class="name"[^>]*>([^<]*)</a>', page)


def test_pages_of_runs_hold_every_run_once(
    superuser: Client, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    from portal.admin.flow_runs import FlowRunAdmin

    monkeypatch.setattr(FlowRunAdmin, "list_per_page", 2)
    for number in range(5):
        make_run(deployment, name=f"run-{number}")
    FlowRun.objects.update(created=datetime.now(UTC))  # ids break the tie

    url, pages = RUNS, []
    while url:
        page = superuser.get(url).content.decode()
        pages.append(names_on(page))
        older = re.search(r'<a href="(\?[^"]*)">Older', page)
        url = RUNS + older.group(1).replace("&amp;", "&") if older else ""

    assert pages == [["run-4", "run-3"], ["run-2", "run-1"], ["run-0"]]


@pytest.mark.parametrize("cursor", ["x", "~", "2026-01-01~1", "2026-01-01~" + "0" * 32, "9" * 5000])
def test_a_cursor_that_is_not_ours_shows_the_newest(
    superuser: Client, deployment: Deployment, cursor: str
) -> None:
    make_run(deployment, name="newest")

    assert names_on(superuser.get(RUNS, {"p": cursor}).content.decode()) == ["newest"]


def test_runs_are_filtered_by_the_url(superuser: Client, deployment: Deployment) -> None:
    make_run(deployment, name="one")
    other = make_run(make_deployment(name="other"), name="two")

    def shown(query: str) -> list[str]:
        return names_on(superuser.get(f"{RUNS}?{query}").content.decode())

    assert shown(f"deployment__id__exact={other.deployment_id}") == ["two"]
    assert shown(f"flow__id__exact={deployment.flow_id}") == ["one"]
    assert shown("state_type__exact=FAILED") == []


def test_what_schedules_have_only_planned_does_not_fill_the_list(
    superuser: Client, deployment: Deployment
) -> None:
    schedule, hour = Schedule.objects.create(deployment=deployment, cron="* * * * *"), timedelta(hours=1)
    run, due, coming, asked_for = (make_run(deployment) for _ in range(4))
    FlowRun.objects.filter(id__in=[due.id, coming.id]).update(schedule=schedule)
    later = FlowRun.objects.filter(id__in=[coming.id, asked_for.id])
    later.update(expected_start_time=datetime.now(UTC) + hour)
    of_deployment = f"/admin/flows/deployment/{deployment.id}/change/"

    for page in (RUNS, of_deployment):
        assert shown_in(superuser, page) == {run.id, due.id, asked_for.id}
    for query in ("?coming=shown", "?state_type__exact=SCHEDULED"):
        assert coming.id in shown_in(superuser, RUNS + query)


def shown_in(client: Client, page: str) -> set[UUID]:
    """The runs to which the page leads."""
    return {UUID(found) for found in re.findall(rf"{RUNS}([0-9a-f-]+)/", client.get(page).content.decode())}


def test_runs_are_listed_one_workspace_at_a_time(superuser: Client, elsewhere: Workspace) -> None:
    make_run(name="here")
    make_run(make_deployment(queue=make_queue(workspace=elsewhere)), name="there")

    assert names_on(superuser.get(RUNS).content.decode()) == ["here"]
    assert names_on(superuser.get(f"{RUNS}?workspace={elsewhere.id}").content.decode()) == ["there"]


def test_a_late_run_shows_how_late(superuser: Client, deployment: Deployment) -> None:
    make_run(deployment, scheduled_time=datetime.now(UTC) - timedelta(hours=2, minutes=5))

    assert "2h ago" in superuser.get(RUNS).content.decode()


def test_what_went_wrong_stands_in_the_row(superuser: Client, deployment: Deployment) -> None:
    run = make_run(deployment)
    message = "Flow run encountered an exception: ValueError: <boom>\nand more"
    FlowRun.objects.filter(id=run.id).update(state_type="FAILED", state_name="Failed", state_message=message)

    page = superuser.get(RUNS).content.decode()

    assert ">ValueError: &lt;boom&gt;</span>" in page
    assert '<span class="badge state-failed">' in page


def test_the_list_of_runs_reads_one_workspace_even_if_there_is_only_one(superuser: Client) -> None:
    make_run()

    read = [sql for sql in queries_of(superuser, RUNS) if 'FROM "runs_flowrun"' in sql]

    assert len(read) == 1
    assert 'WHERE ("runs_flowrun"."workspace_id" = ' in read[0]


@pytest.mark.parametrize(
    ("every", "age", "word"), [(1, 5, "working"), (1, 60, "silent"), (3600, 3000, "working")]
)
def test_a_service_is_judged_by_its_own_period(superuser: Client, every: int, age: int, word: str) -> None:
    worked = datetime.now(UTC) - timedelta(seconds=age)
    ServiceStatus.objects.create(name="x", hostname="h", pid=1, every=every, last_success=worked)

    assert f">{word}</span>" in superuser.get("/admin/agents/servicestatus/").content.decode()


def test_a_service_that_fails_says_why(superuser: Client) -> None:
    now = datetime.now(UTC)
    ServiceStatus.objects.create(name="sweep", hostname="h", pid=1, last_success=now)
    ServiceStatus.objects.create(
        name="reap", hostname="h", pid=1, last_success=now - timedelta(seconds=2),
        last_error="no space left", last_error_time=now,
    )  # fmt: skip
    page = superuser.get("/admin/").content.decode()

    assert ">failing</span>" in page
    assert "no space left" in page
    assert "1 of 2 working" in page


@pytest.mark.parametrize(("age", "said"), [(2, False), (90, True)])
def test_the_dashboard_says_first_that_nobody_schedules_or_runs(
    superuser: Client, age: int, said: bool
) -> None:
    worked = datetime.now(UTC) - timedelta(seconds=age)
    ServiceStatus.objects.create(name="sweep", hostname="h", pid=1, last_success=worked)

    attention = superuser.get("/admin/").content.decode().partition("Needs attention")[2]

    assert ("No scheduler is at work</span>" in attention) is said
    assert "No agent is online</span>" in attention


def test_a_waiting_run_of_a_paused_deployment_says_so_in_its_row(
    superuser: Client, deployment: Deployment
) -> None:
    make_run(deployment)
    Deployment.objects.update(paused=True)

    page = unescape(superuser.get(RUNS).content.decode())
    assert f">Its deployment '{deployment.name}' is paused.</span>" in page


def test_a_form_begins_with_the_only_workspace(superuser: Client) -> None:
    page = superuser.get("/admin/agents/workpool/add/").content.decode()

    assert "selected>default</option>" in page


@pytest.mark.parametrize(
    ("url", "text"),
    [
        (RUNS, "No runs yet."),
        (f"{RUNS}?state_type__exact=FAILED", "Nothing matches."),
        ("/admin/flows/deployment/", "manage.py deploy"),
        ("/admin/agents/agent/", "manage.py rqworker default"),
    ],
)
def test_an_empty_list_says_what_to_do(superuser: Client, url: str, text: str) -> None:
    assert text in superuser.get(url).content.decode()


@pytest.mark.parametrize("url", [RUNS, "/admin/flows/deployment/", "/admin/flows/flow/"])
def test_a_nul_in_a_filter_is_refused(superuser: Client, url: str) -> None:
    answer = superuser.get(url, {"name": "\x00"})

    assert (answer.status_code, answer["Location"]) == (302, f"{url}?e=1")


@pytest.mark.parametrize("tail", ["not-an-id/", "not-an-id/change/"])
def test_there_is_no_run_without_an_id(superuser: Client, tail: str) -> None:
    assert superuser.get(RUNS + tail).status_code == 404
