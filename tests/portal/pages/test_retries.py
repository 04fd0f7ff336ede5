"""Running a run once more, from its page."""

from collections.abc import Callable

import pytest
from django.test import Client

from flows.sdk.ids import uuid7
from flows.sdk.states import Failed, Pending, Running
from runs.models import FlowRun, TaskRun
from runs.session import DjangoSession
from runs.transition import transition

pytestmark = pytest.mark.django_db
Member = Callable[[str], Client]


@pytest.fixture
def failed(new_run: Callable[..., FlowRun]) -> FlowRun:
    """A run that called `extract` twice and `load`, and failed."""
    run = new_run(name="spry-anteater")
    for state in (Pending(), Running(), Failed(message="no rain")):
        transition(DjangoSession(), run.id, state)
    for name in ("extract-0", "extract-1", "load-0"):
        key, _, number = name.partition("-")
        TaskRun.objects.create(
            id=uuid7(), flow_run=run, task_key=key, dynamic_key=number, name=name, created=run.created,
            state_type="COMPLETED", state_name="Completed", state_timestamp=run.created,
        )  # fmt: skip
    run.refresh_from_db()
    return run


def url(run: FlowRun, tail: str = "") -> str:
    return f"/admin/runs/flowrun/{run.id}/{tail}"


def page_of(client: Client, run: FlowRun) -> str:
    return client.get(url(run)).content.decode()


def test_a_failed_run_offers_each_task_once(member: Member, failed: FlowRun) -> None:
    page = page_of(member("operator"), failed)

    first, load = TaskRun.objects.get(name="extract-0"), TaskRun.objects.get(name="load-0")
    assert f'value="{first.id}">extract</button>' in page
    assert f'value="{load.id}">load</button>' in page
    assert page.count('name="from_task"') == 2


def test_what_runs_or_may_not_be_touched_offers_nothing(
    member: Member, new_run: Callable[..., FlowRun], failed: FlowRun
) -> None:
    assert 'form="run-retry"' not in page_of(member("operator"), new_run())
    assert 'form="run-retry"' not in page_of(member("viewer"), failed)


@pytest.mark.parametrize("task", ["", "load-0"])
def test_a_retry_from_the_page(member: Member, failed: FlowRun, task: str) -> None:
    chosen = TaskRun.objects.get(name=task).id if task else None

    answer = member("operator").post(url(failed, "retry"), {"from_task": str(chosen or "")})

    assert answer["Location"] == url(failed)
    failed.refresh_from_db()
    assert (failed.state_name, failed.redo_from) == ("AwaitingRetry", chosen)


def test_what_cannot_be_retried_says_why(member: Member, failed: FlowRun) -> None:
    operator = member("operator")

    unknown = operator.post(url(failed, "retry"), {"from_task": "laod"}, follow=True).content.decode()
    operator.post(url(failed, "retry"))
    twice = operator.post(url(failed, "retry"), follow=True).content.decode()

    assert "The run has no task &#x27;laod&#x27;. It called extract, load." in unknown
    assert "This run cannot be retried: it has not ended: it is AwaitingRetry." in twice


def test_the_form_begins_with_the_runs_parameters(member: Member, failed: FlowRun) -> None:
    form = f"/admin/flows/deployment/{failed.deployment_id}/run/?like={failed.id}"
    operator = member("operator")

    assert f'href="{form}"' in page_of(operator, failed)
    page = operator.get(form).content.decode()
    assert 'value="1962"' in page
    assert "again, like spry-anteater" in page

    operator.post(form, {"parameter-year": "1999", "run_name": "second-try", "reuse_results": "on"})

    new = FlowRun.objects.get(name="second-try")
    assert (new.parameters, new.rerun_of, new.result_scope) == ({"year": 1999}, failed, failed.id)
    assert f'like <a href="{url(failed)}">spry-anteater</a>, with its results' in page_of(operator, new)


def test_a_run_of_another_deployment_fills_in_nothing(member: Member, failed: FlowRun) -> None:
    other = "00000000-0000-0000-0000-000000000000"
    page = member("operator").get(f"/admin/flows/deployment/{failed.deployment_id}/run/?like={other}")

    assert "again" not in page.content.decode()
